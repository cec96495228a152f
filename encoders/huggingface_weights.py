"""The files of Hugging Face models, none of which can run code when it is loaded."""

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from encoders.spec import Digest, FileName, Files, Weights

_CODE = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".h5", ".msgpack", ".py")


def _refuse_code(name: str) -> str:
    if name.lower().endswith(_CODE):
        raise ValueError(
            f"{name} could run code when it is loaded; use .safetensors weights, which save_pretrained writes"
        )
    return name


SafeFiles = dict[Annotated[FileName, AfterValidator(_refuse_code)], Digest | None]


class HuggingFaceWeights(Weights):
    """A Hugging Face model, from the hub or a folder."""

    source: str = Field(pattern=r"^(hf:[\w.-]+/[\w.-]+|path:.+)$")
    files: SafeFiles = Field(min_length=1)

    @field_validator("files")
    @classmethod
    def _has_safetensors(cls, files: Files) -> Files:
        if not any(name.endswith(".safetensors") for name in files):
            raise ValueError("name at least one .safetensors file")
        return files
