"""The source that a bundle's manifest records, and how it was loaded, so that check-s2t can load it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exporter.checkpoints.options import LoadOptions
from exporter.checkpoints.sources.kinds import (
    DEFAULT_SEED,
    CheckpointSource,
    PairSource,
    RandomWeightsSource,
    Source,
)
from exporter.errors import CheckpointError
from s2t_runtime.bundles.manifest import Manifest

_ROLES = {
    "checkpoint": ("checkpoint",),
    "pair": ("encoder", "decoder"),
    "random_weights": ("configuration",),
}


def source_of(manifest: Manifest, against: Sequence[str] = ()) -> Source:
    """What a bundle was exported from: hub ids at their commits, or what ``against`` puts in their place.

    Args:
        manifest: of the bundle.
        against: a directory or hub id per part: the checkpoint; encoder and decoder; the configuration.

    Raises:
        CheckpointError: the bundle came from a local directory and ``against`` is empty, or does not
            name as many parts as there are.
    """
    recorded = _recorded(manifest)
    kind = str(recorded.get("kind"))
    if kind not in _ROLES:
        raise CheckpointError(
            f"the manifest says that the bundle was made from {kind!r}, wanted one of {', '.join(_ROLES)}: "
            "check it with the export-s2t that made it"
        )
    roles = _ROLES[kind]
    if against and len(against) != len(roles):
        raise CheckpointError(
            f"--against names {', '.join(against)}, but the bundle was made from "
            f"{' and '.join(f'one {role}' for role in roles)}: give --against "
            f"{' --against '.join(role.upper() for role in roles)}"
        )
    given: list[tuple[str, str | None]] = [(name, None) for name in against]
    parts = given or [_part(recorded, role, roles) for role in roles]
    seed = manifest.provenance.get("seed")
    seed = seed if isinstance(seed, int) else DEFAULT_SEED
    if kind == "pair":
        (encoder, encoder_revision), (decoder, decoder_revision) = parts
        return PairSource(encoder, decoder, encoder_revision, decoder_revision, seed)
    ((name, revision),) = parts
    if kind == "random_weights":
        return RandomWeightsSource(name, revision, seed)
    return CheckpointSource(name, revision)


def load_options_of(
    manifest: Manifest, *, tokenizer: str | None = None, feature_extractor: str | None = None
) -> LoadOptions:
    """How the source of a bundle was loaded, companions from elsewhere included.

    Args:
        manifest: of the bundle.
        tokenizer: a directory or hub id, in place of what the manifest names.
        feature_extractor: likewise.

    Raises:
        CheckpointError: a companion came from a local directory, and nothing is given in its place.
    """
    stored = manifest.provenance.get("options")
    told: Mapping[str, Any] = stored if isinstance(stored, Mapping) else {}
    tokenizer_at = _companion(manifest, "tokenizer", tokenizer)
    extractor_at = _companion(manifest, "feature_extractor", feature_extractor)
    normalize = told.get("normalize")
    return LoadOptions(
        ignored_generation_options=frozenset(_texts(told.get("ignored_generation_options"))),
        ignored_weights=tuple(_texts(told.get("ignored_weights"))),
        tokenizer=tokenizer_at[0],
        tokenizer_revision=tokenizer_at[1],
        feature_extractor=extractor_at[0],
        feature_extractor_revision=extractor_at[1],
        normalize=normalize if isinstance(normalize, bool) else None,
    )


def _companion(manifest: Manifest, role: str, given: str | None) -> tuple[str | None, str | None]:
    if given is not None:
        return given, None
    part = _recorded(manifest).get(role)
    if not isinstance(part, Mapping):
        return None, None
    name, revision = part.get("id"), part.get("revision")
    if isinstance(name, str) and isinstance(revision, str):
        return name, revision
    raise CheckpointError(
        f"the bundle's {role.replace('_', ' ')} came from a local directory ({name}), which the manifest cannot find "
        f"again: give it with --{role.replace('_', '-')}"
    )


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _recorded(manifest: Manifest) -> Mapping[str, Any]:
    source = manifest.provenance.get("source")
    if isinstance(source, Mapping):
        return source
    # Bundles of format 1 came from a checkpoint, and name it in one place only.
    model = manifest.model
    return {"kind": "checkpoint", "checkpoint": {"id": model.id, "revision": model.revision}}


def _part(recorded: Mapping[str, Any], role: str, roles: Sequence[str]) -> tuple[str, str | None]:
    part = recorded.get(role)
    name, revision = (part.get("id"), part.get("revision")) if isinstance(part, Mapping) else (None, None)
    if isinstance(name, str) and isinstance(revision, str):
        return name, revision
    raise CheckpointError(
        f"the bundle was exported from a local directory ({name}), which the manifest cannot find again: "
        f"give it with --against {' --against '.join(role.upper() for role in roles)}"
    )
