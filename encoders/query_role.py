"""What a query tower may be used for: queries against the vectors of its documents' encoder, and nothing else."""

from encoders.spec import EncoderSpec
from rawless.errors import UserError


def refuse_documents(spec: EncoderSpec, where: str) -> None:
    """Raise UserError if a query tower is named where an encoder of documents is needed; `where` names the field."""
    if spec.queries_of is not None:
        raise UserError(
            f"{where} is {spec.ref}, which is a query tower and encodes queries only: name the encoder of its documents"
            f"{', ' + spec.parent if spec.parent else ''}."
        )


def check_fits(tower: EncoderSpec, documents: EncoderSpec) -> None:
    """Raise UserError unless the queries of a tower can be compared with the documents of an encoder."""
    refuse_documents(documents, f"The encoder of the documents of {tower.ref}")
    for name in ("modality", "dimension"):
        own, other = getattr(tower, name), getattr(documents, name)
        if own != other:
            raise UserError(
                f"{tower.ref} has the {name} {own}, but {documents.ref}, whose documents it searches, has {other}: "
                "correct its spec."
            )
