"""Rights: whoever applies a root has what its resources need, and only the bootstrap needs the organisation."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from terraform.checks.deployment import EXAMPLE, Deployment
from terraform.checks.plan import Resource
from terraform.checks.start import PERIMETER

FILE = Path("terraform/rights.yaml")
_APPLIES = "deployer"
"""The grantee that applies terraform/."""


def violations(tree: Path, resources: Sequence[Resource], deployment: Deployment = EXAMPLE) -> Iterator[str]:
    """Resources that whoever applies their root could not create, types without an entry, and unused entries."""
    rights = yaml.safe_load((tree / FILE).read_text(encoding="utf-8"))
    used = {resource.type for resource in resources}
    yield from (f"{FILE} does not say what {type_} needs" for type_ in sorted(used - set(rights["needs"])))
    if deployment == EXAMPLE:  # another may have no services, for instance
        yield from (f"{FILE} lists {type_}, which no file uses" for type_ in sorted(set(rights["needs"]) - used))
    granted = _granted(resources, deployment)
    yield from _locked_out(rights["needs"], resources, deployment)
    administrator = {role for roles in rights["bootstrap"].values() for role in roles}
    for type_, root, project in sorted({(r.type, r.root, str(r.values.get("project") or "")) for r in resources}):
        if root:
            who, has, where = "the administrator of the organisation", administrator, ""
        else:
            who, has, where = f"the {_APPLIES}", _roles(granted, project), f" in {project}" if project else ""
        permissions = _permissions(rights["needs"].get(type_, {}))
        for permission in sorted(permissions):
            if not root and permission.rpartition(".")[0] in rights["only at the organisation"]:
                yield f"{type_} needs {permission}, a right at the organisation: it belongs into bootstrap/"
            elif not _has(permission, has, rights["roles"]):
                yield f"{type_} needs {permission}, which {who} does not have{where}"


def _locked_out(
    needs: Mapping[str, Mapping[str, Sequence[str]]], resources: Sequence[Resource], deployment: Deployment
) -> Iterator[str]:
    """Resources of a service that a perimeter protects, and for which it does not let the deployer in."""
    for perimeter in (resource for resource in resources if resource.type == PERIMETER):
        (config,) = perimeter.values["status"] or perimeter.values["spec"]
        protected = {service.partition(".")[0] for service in config["restricted_services"]}
        let_in = {
            operation["service_name"].partition(".")[0]
            for rule in config["ingress_policies"]
            if _APPLIES in map(deployment.grantee, rule["ingress_from"][0]["identities"])
            for operation in rule["ingress_to"][0]["operations"]
        }
        is_production = '"production"' in perimeter.address
        for type_, project in sorted({(r.type, str(r.values.get("project") or "")) for r in resources if not r.root}):
            if project and (project == deployment.production) == is_production:
                services = {name.partition(".")[0] for name in needs.get(type_, ())}
                for service in sorted(services & protected - let_in):
                    yield f"{type_} in {project} needs {service}, for which the perimeter does not let {_APPLIES}s in"


def _permissions(needs: Mapping[str, Sequence[str]]) -> set[str]:
    return {f"{name}.{action}" for name, actions in needs.items() for action in actions}


def _granted(resources: Sequence[Resource], deployment: Deployment) -> list[tuple[str, set[str]]]:
    """The projects on which the deployer has roles, each with a role, or with the permissions of a custom one."""
    custom = {
        role.values["name"]: set(role.values["permissions"])
        for role in resources
        if role.type == "google_project_iam_custom_role"
    }
    return [
        (grant.values["project"], custom.get(grant.values["role"], {grant.values["role"]}))
        for grant in resources
        if grant.type == "google_project_iam_member" and deployment.grantee(grant.values["member"]) == _APPLIES
    ]


def _roles(granted: Sequence[tuple[str, set[str]]], project: str) -> set[str]:
    """Roles and permissions that are granted on a project, or on any if the plan does not name the project."""
    return {each for where, names in granted if project in ("", where) for each in names}


def _has(permission: str, names: set[str], roles: Mapping[str, Any]) -> bool:
    """Whether one of the roles contains a permission, or it is among the names itself."""
    resource = permission.rpartition(".")[0]
    return permission in names or any({permission, resource} & set(roles.get(name, ())) for name in names)
