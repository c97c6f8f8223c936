"""Reads the JSON pages on which servers show their load and their settings.

The pages may contain prompts (/slots) and keys (/server_info); only the named numbers are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from penstock.upstream.gauges import Counted, EngineFamily, Facts, Gauges, Reading, number

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["read_info", "read_loads", "read_models", "read_props", "read_server_info", "read_slots", "read_version"]


def read_props(page: bytes) -> Reading | None:
    """Read llama.cpp's /props. It has no KV size: the slots are its only bound."""
    value = _object(page)
    slots, version = _size(value.get("total_slots")), _text(value.get("build_info"))
    if slots is None and version is None:
        return None
    context = _size(_inner(value.get("default_generation_settings")).get("n_ctx"))
    return Reading(facts=Facts(engine=EngineFamily.LLAMACPP, version=version, slots=slots, context=context))


def read_slots(page: bytes) -> Reading | None:
    """Read llama.cpp's /slots, for servers without metrics. It does not show what waits for a slot."""
    slots = _objects(_parsed(page))
    if not slots or not all(isinstance(slot.get("is_processing"), bool) for slot in slots):
        return None
    running = sum(slot["is_processing"] is True for slot in slots)
    return Reading(Gauges(running=running, counted=Counted.NOW), Facts(engine=EngineFamily.LLAMACPP, slots=len(slots)))


def read_loads(page: bytes) -> Reading | None:
    """Read SGLang's /v1/loads, or the older /get_load, whose ``num_reqs`` includes those that wait."""
    value = _parsed(page)
    ranks = _objects(_inner(value).get("loads", value))
    waiting = _total(_count(rank.get("num_waiting_reqs")) for rank in ranks)
    running = _total(_count(rank.get("num_running_reqs")) for rank in ranks)
    together = _total(_count(rank.get("num_reqs")) for rank in ranks)
    if running is None and together is not None and waiting is not None:
        running = max(0, together - waiting)
    if running is None or waiting is None:
        return None
    usage = [part for rank in ranks if (part := _part(rank.get("token_usage"))) is not None]
    return Reading(
        Gauges(running=running, waiting=waiting, kv_usage=max(usage, default=None), counted=Counted.NOW),
        Facts(
            engine=EngineFamily.SGLANG,
            version=_text(_inner(value).get("version")),
            kv_tokens=_total(_size(rank.get("max_total_num_tokens")) for rank in ranks),
            slots=_total(_size(rank.get("max_running_requests")) for rank in ranks),
        ),
    )


def read_server_info(page: bytes) -> Reading | None:
    """Read SGLang's /server_info, earlier /get_server_info.

    The values of each rank are preferred: the settings beside them are the requested ones, which the engine may reduce.
    """
    value = _object(page)
    if "max_total_num_tokens" not in value and "internal_states" not in value:
        return None
    ranks = _objects(value.get("internal_states"))
    kv_tokens = _total(_size(_inner(rank.get("memory_usage")).get("token_capacity")) for rank in ranks)
    slots = _total(_size(rank.get("effective_max_running_requests_per_dp")) for rank in ranks)
    return Reading(
        facts=Facts(
            engine=EngineFamily.SGLANG,
            version=_text(value.get("version")),
            kv_tokens=kv_tokens or _size(value.get("max_total_num_tokens")),
            slots=slots or _size(value.get("max_running_requests")),
            context=_size(value.get("context_length")),
        )
    )


def read_info(page: bytes) -> Reading | None:
    """Read TGI's /info. Only version 2 and earlier have the KV size there."""
    value = _object(page)
    slots, context = _size(value.get("max_concurrent_requests")), _size(value.get("max_total_tokens"))
    if slots is None and context is None:
        return None
    kv_tokens, version = _size(value.get("max_batch_total_tokens")), _text(value.get("version"))
    return Reading(facts=Facts(EngineFamily.TGI, version=version, kv_tokens=kv_tokens, slots=slots, context=context))


def read_models(page: bytes) -> Reading | None:
    """Read /v1/models, on which vLLM and SGLang show the context of their models."""
    models = _objects(_object(page).get("data"))
    context = next((size for model in models if (size := _size(model.get("max_model_len")))), None)
    return None if context is None else Reading(facts=Facts(context=context))


def read_version(page: bytes) -> Reading | None:
    """Read vLLM's /version."""
    version = _text(_object(page).get("version"))
    return None if version is None else Reading(facts=Facts(version=version))


def _parsed(page: bytes) -> Any:
    try:
        return orjson.loads(page)
    except orjson.JSONDecodeError:
        return None


def _object(page: bytes) -> dict[str, Any]:
    return _inner(_parsed(page))


def _inner(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _count(value: object) -> int | None:
    known = number(value)
    return known if isinstance(known, int) else None


def _size(value: object) -> int | None:
    # Servers report a capacity of 0 before they know it; as a limit it would let nothing through.
    return _count(value) or None


def _part(value: object) -> float | None:
    known = number(value)
    return float(known) if known is not None and known <= 1 else None


def _text(value: object) -> str | None:
    return value[:100] if isinstance(value, str) and value else None


def _total(values: Iterable[int | None]) -> int | None:
    """Return the sum if every rank has a value: a sum of some would be too small."""
    parts = list(values)
    return None if not parts or None in parts else sum(part for part in parts if part is not None)
