"""`/v1/actions/generations`: predicts the actions of a policy, or the actions in a video, while the client waits."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deployments.ingress.answers import ActionObject, ActionsAnswer, PredictedAction
from deployments.ingress.api_keys import caller_of
from deployments.ingress.graph import Graph
from deployments.ingress.intake import holding_of
from deployments.ingress.middleware import request_id_of
from deployments.ingress.requests import numpy_msgpack
from deployments.ingress.requests.action_request import ActionCall, read_actions
from deployments.ingress.requests.addressed_media import fetch_media
from deployments.ingress.requests.body import Body, Format, media_type, read_body, read_object
from deployments.ingress.requests.generation_addresses import in_actions
from deployments.ingress.requests.memory_cost import msgpack_cost
from deployments.ingress.requests.submission import PREFIX, check, make_job, notices, shown_of_video
from deployments.ingress.waiting import run_jobs
from deployments.jobs.job import Job

MSGPACK_FORMAT = Format("msgpack", numpy_msgpack.unpack, msgpack_cost)


async def create_actions(request: Request) -> Response:
    """Predict actions while the client waits. The video that the model generates with them is discarded.

    The answer to JSON is JSON; the answer to msgpack is msgpack, with the values as an array.
    """
    graph: Graph = request.app.state.graph
    caller = caller_of(request)
    call = await _read_call(request)
    checked = await check(graph, call.generation)
    shown = shown_of_video(checked, request_id_of(request))
    job = await make_job(graph, checked, kind="video", shown=shown, caller=caller)
    ignored = checked.ignored
    del checked
    call = replace(call, generation=call.generation.without_media())
    holding_of(request).release()
    (job,) = await run_jobs(graph, request, [job])
    graph.jobs.discard(job)
    assert job.result is not None
    headers = notices(ignored, [job]) | {
        "X-Model": job.model,
        "X-Inference-Time-S": f"{sum(job.result['stage_seconds'].values()):.3f}",
    }
    answer = actions_answer(job, call)
    if not _wants_msgpack(request):
        return JSONResponse(answer, headers=headers)
    content = await asyncio.to_thread(_as_msgpack, answer, call)
    return Response(content, media_type=numpy_msgpack.MEDIA_TYPE, headers=headers)


def actions_answer(job: Job, call: ActionCall) -> ActionsAnswer:
    """A completed job's actions in SGLang's form."""
    assert job.result is not None
    predicted: ActionObject = job.result["action"]
    action: PredictedAction = {
        "type": "continuous",
        "values": predicted["data"],
        "shape": predicted["shape"],
        "dtype": predicted["dtype"],
        "raw_action_dim": predicted["raw_action_dim"],
        "action_mode": predicted["action_mode"],
        "domain_id": predicted["domain_id"],
    }
    if "physical" in predicted:
        action["physical"] = predicted["physical"]
    return {
        "id": call.request_id or f"act_{job.id.removeprefix(PREFIX['video'])}",
        "object": "action.generation",
        "created": int(time.time()),
        "model": job.model,
        "data": [{"index": 0, "input_index": 0, "action": action}],
    }


def _as_msgpack(answer: ActionsAnswer, call: ActionCall) -> bytes:
    packed: dict[str, Any] = dict(answer)
    if call.output_format != "list":
        (prediction,) = answer["data"]
        values = np.asarray(prediction["action"]["values"], np.float32)
        packed["data"] = [{**prediction, "action": {**prediction["action"], "values": values}}]
    return numpy_msgpack.pack(packed)


async def _read_call(request: Request) -> ActionCall:
    body = await _read_body(request)
    await fetch_media(request, lambda: in_actions(body.fields))
    return await asyncio.to_thread(read_actions, body)


async def _read_body(request: Request) -> Body:
    if media_type(request) in numpy_msgpack.MEDIA_TYPES:
        return Body(await read_object(request, MSGPACK_FORMAT, numpy_msgpack.MAX_BYTES))
    return await read_body(request)


def _wants_msgpack(request: Request) -> bool:
    accepted = (kind.partition(";")[0].strip().lower() for kind in request.headers.get("accept", "").split(","))
    return not {media_type(request), *accepted}.isdisjoint(numpy_msgpack.MEDIA_TYPES)
