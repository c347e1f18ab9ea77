"""What an engine with an adapter answers, as JSON; run as a program.

`python -m tests.reasoner.engine_probe CHECKPOINT ADAPTER`: vLLM registers configuration classes of its own under
transformers' names, so the two cannot share a process.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from cosmos3_core.checkpoint import Checkpoint
from deployments.settings.model import ReasonerSettings
from deployments.settings.trials import TrialSettings
from deployments.wire.reasoner_calls import Operation, ReasonerAnswer

NAME, ADAPTER = "base", "mine"
ENGINE: dict[str, Any] = {
    "dtype": "float32",
    "enforce_eager": True,
    "max_model_len": 2048,
    "max_num_seqs": 2,
    "distributed_executor_backend": "vllm.v1.executor.uniproc_executor.UniProcExecutor",
}
TRIALS = TrialSettings(seconds=2)
LORA = {"enable_lora": True, "max_lora_rank": 8}


async def answers(root: str, adapter: Path) -> dict[str, Any]:
    """The answers with and without the adapter, and why an option that vLLM cannot serve is refused."""
    from vllm.sampling_params import StructuredOutputsParams

    from deployments.reasoner.engine import ReasonerEngine, engine_arguments
    from deployments.reasoner.tried_engine import constraint_of

    checkpoint = Checkpoint.find(root)
    server = {"lora_modules": [{"name": ADAPTER, "path": str(adapter)}]}
    engine = ReasonerEngine(NAME, checkpoint, ReasonerSettings(engine=ENGINE | LORA, server=server, trials=TRIALS))
    await engine.start()

    async def ask(model: str) -> dict[str, Any]:
        body = {"messages": [{"role": "user", "content": "What is a robot?"}], "temperature": 0, "max_tokens": 8}
        body |= {"model": model, "return_token_ids": True, "ignore_eos": True}
        answer = await engine.answer(Operation.CHAT, body)
        assert isinstance(answer, ReasonerAnswer) and answer.status == 200, answer
        return answer.body

    async def streamed(constraint: dict[str, Any]) -> ReasonerAnswer | None:
        body = {"messages": [{"role": "user", "content": "?"}], "model": NAME, "max_tokens": 2, "stream": True}
        answer = await engine.answer(Operation.CHAT, body | {"structured_outputs": constraint})
        return answer if isinstance(answer, ReasonerAnswer) else None

    async def constrained(constraint: dict[str, Any], route: Operation = Operation.CHAT) -> ReasonerAnswer:
        given = {"messages": [{"role": "user", "content": "?"}]} if route is Operation.CHAT else {"prompt": "?"}
        body = given | {"model": NAME, "max_tokens": 16, "structured_outputs": constraint}
        answer = await engine.answer(route, body)
        assert isinstance(answer, ReasonerAnswer)
        return answer

    slow = {"grammar": "root ::= " + " ".join(['"a"?'] * 1000)}
    refused = [await constrained(slow, route) for route in (Operation.CHAT, Operation.COMPLETION)]
    in_stream = await streamed(slow)
    refused += [in_stream] if in_stream is not None else []
    other = StructuredOutputsParams(json={"type": "integer", "multipleOf": 7})
    own = StructuredOutputsParams(json={"type": "integer"})
    tried_by = [[constraint_of(each, backend) is not None for each in (other, own)] for backend in ("auto", "xgrammar")]
    honest = await constrained({"choice": ["yes", "no"]})
    engine._tried.close()
    untried = await constrained({"regex": "[0-9]"})
    told = {name: await ask(name) for name in (NAME, ADAPTER)}
    engine.shutdown()
    found = {name: body["choices"][0]["token_ids"] for name, body in told.items()}
    try:
        engine_arguments(NAME, checkpoint, ReasonerSettings(engine={"video_pruning_rate": 0.5}))
    except ValueError as error:
        found["refusal"] = str(error)
    tried = {
        "refused": [answer.body for answer in refused],
        "honest": honest.body,
        "tried_by": tried_by,
        "untried": untried.body,
    }
    return found | {"model": told[ADAPTER]["model"], **tried}


if __name__ == "__main__":
    os.environ["VLLM_MEDIA_CONNECTOR"] = "cosmos3"
    print(json.dumps(asyncio.run(answers(sys.argv[1], Path(sys.argv[2])))))
