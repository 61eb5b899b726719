"""The paths that a column can name: which exist, which short names mean them, which is nearest."""

from __future__ import annotations

from collections import defaultdict
from difflib import get_close_matches

from airflow_reshape.events.models import Consent, Context, EventDetails, User

Path = tuple[str, ...]

RESERVED = ("lead_id", "stage", "previous_stage", "occurred_at")
CARRIED = ("products", "shipping", "payments", "coupons")
ROOTS = ("event", "user", "context", "cookies", "consent", *CARRIED)

# Maps whose keys are the sender's own: whatever follows is one flat key.
OPEN_MAPS: tuple[Path, ...] = (("event", "properties"), ("user", "properties"), ("cookies",))

FIELDS: dict[str, tuple[str, ...]] = {
    "event": tuple(EventDetails.model_fields),
    "user": tuple(User.model_fields),
    "context": tuple(Context.model_fields),
    "consent": tuple(Consent.model_fields),
}
NAMED_PROPERTIES: tuple[Path, ...] = tuple(
    ("event", "properties", f"disqualification_{name}") for name in ("reason", "detail", "stage")
)
PATHS: dict[str, Path] = {
    ".".join(path): path
    for path in (
        *((root, field) for root, fields in FIELDS.items() for field in fields),
        *NAMED_PROPERTIES,
        *((root,) for root in ROOTS),
        *((name,) for name in RESERVED),
    )
} | {f"context.{older}": ("context", name) for older, name in Context.OLDER_NAMES.items()}
# A CRM column "marketing" is not a consent, and a column "name" or "environment" says nothing of the event.
NEVER_BARE = {"context.environment", "event.name", *(f"consent.{field}" for field in FIELDS["consent"])}


def _bare_names() -> dict[str, list[str]]:
    names: dict[str, list[str]] = defaultdict(list)
    for dotted, path in PATHS.items():
        if len(path) > 1:
            names[dotted.rpartition(".")[2]].append(dotted)
    names["name"] += ["user.first_name", "user.last_name"]
    return names


BARE_NAMES = _bare_names()


class UnknownPath(ValueError):
    """A name that is no path.

    :param name: the name as given.
    :param advice: what to write instead.
    """

    def __init__(self, name: str, advice: str) -> None:
        super().__init__(f"{name!r} {advice}")
        self.name = name
        self.advice = advice


def resolve(name: str) -> Path:
    """The path that a column name or a dotted path means, without regard to case.

    :param name: ``user.email``, ``user__email``, ``email``, ``event.properties.anything``, ``cookies._ga``,
        a root such as ``user``, or a reserved name.
    :raises UnknownPath: no path, or more than one, is meant.
    """
    given = name.strip()
    dotted = given if "." in given else _dots_for_underscores(given)
    lowered = dotted.lower()
    if lowered in PATHS:
        return PATHS[lowered]
    for prefix in OPEN_MAPS:
        stem = ".".join(prefix) + "."
        if lowered.startswith(stem) and len(dotted) > len(stem):
            key = dotted[len(stem) :]
            # Databases that fold names to capitals did not mean the capitals.
            key = key.lower() if dotted.isupper() else key
            return PATHS.get(f"{stem}{key.lower()}", (*prefix, key))
    if "." not in dotted:
        meant = BARE_NAMES.get(lowered, [])
        if len(meant) == 1 and meant[0] not in NEVER_BARE:
            return PATHS[meant[0]]
        if len(meant) == 1:
            raise UnknownPath(name, f"is not taken by its bare name: write {meant[0]}")
        if meant:
            raise UnknownPath(name, f"is ambiguous: write {' or '.join(meant)}")
    raise UnknownPath(name, _advice(lowered))


def _dots_for_underscores(name: str) -> str:
    root, separator, rest = name.partition("__")
    if not separator or not rest or root.lower() not in ROOTS:
        return name
    field, separator, key = rest.partition("__")
    if separator and (root.lower(), field.lower()) in OPEN_MAPS:
        return f"{root}.{field}.{key}"
    return f"{root}.{rest}"


def _advice(lowered: str) -> str:
    # Whoever writes full_name does not mean event.name.
    never = () if "." in lowered else NEVER_BARE
    near = get_close_matches(lowered, [path for path in PATHS if path not in never], n=1, cutoff=0.7)
    if not near:
        last = lowered.rpartition(".")[2]
        bare = [name for name, (first, *_) in BARE_NAMES.items() if first not in never]
        close = get_close_matches(last, bare, n=1, cutoff=0.7)
        # email_address, phone_number, country_code
        inside = sorted((name for name in bare if len(name) > 3 and name in last), key=len)
        near = [BARE_NAMES[name][0] for name in (close or inside[-1:])]
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"is no field of Reshape: {hint}map it, name it event.properties.…, leave it out or set unknown_columns"
