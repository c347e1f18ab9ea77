"""Fields of other servers that would change a result here, if they were not ignored: what they may say, and why not.

vLLM-Omni, SGLang, TensorRT-LLM, Dynamo, NIM, diffusers and OpenAI have them. A client that sends one wants something
else than it would get, so it is told.
"""

from __future__ import annotations

from typing import Any

from deployments.ingress.requests.coercions import Coercion, excerpt, is_harmless, number, text, whole

_STREAM = "is not served by this route, whose answer comes at once; leave it out. A job of POST /v1/videos has events"
_WRAPPER = "is another server's object of fields; send its fields at the top level or in extra_params"
_TENSORS = "is not accepted from clients; send a prompt and media"
_LEVELS = "is not read; num_inference_steps, schedule and flow_shift say which noise levels there are"
_END = "is not used by Cosmos 3, which takes no picture to end with; leave it out"
_CONTROL = "is not read; send a control under the name of its kind, such as depth"
_OUTPUT_PATH = "names a file of this server, which clients do not write; the answer holds the file"
_SIZE = "is not served; ask for the size with size, or with width and height"
_MORE = "asks for more than the file, which is not served"
_ADAPTER = "is not read; name an adapter with lora, an object with name and scale"
REFUSED: dict[str, str] = {
    **dict.fromkeys(("stream", "partial_images"), _STREAM),
    **dict.fromkeys(("action_params", "nvext", "diffusers_kwargs", "sampling_params"), _WRAPPER),
    **dict.fromkeys(("latents", "prompt_embeds", "negative_prompt_embeds", "ip_adapter_image"), _TENSORS),
    **dict.fromkeys(("sigmas", "timesteps"), _LEVELS),
    **dict.fromkeys(("last_image", "last_frame", "end_image", "end_image_url"), _END),
    **dict.fromkeys(("control_image", "control_video"), _CONTROL),
    "output_path": _OUTPUT_PATH,
    **dict.fromkeys(("enable_upscaling", "short_edge"), _SIZE),
    **dict.fromkeys(("return_frames", "return_trajectory_latents", "return_trajectory_decoded"), _MORE),
    **dict.fromkeys(("loras", "lora_name", "lora_path", "lora_scale"), _ADAPTER),
    "layers": "belongs to models that make a picture of several layers, which Cosmos 3 does not",
    "strength": "is not used by Cosmos 3, which has no number for how far a picture may change; say it in the prompt",
    "guidance_rescale": "is not used by Cosmos 3; guidance_scale and guidance_interval say how it is guided",
    "start_time_seconds": "is not used by Cosmos 3; cut the video before it is sent",
}
"""Why each field is refused on every route that generates; a value that switches it off is not."""
NEUTRAL = {
    "layers": 1,
    "strength": 1,
    "lora_scale": 1,
    "guidance_rescale": 0,
    "start_time_seconds": 0,
}
"""Values of such fields that ask for nothing but what is done here, so they are ignored."""


def asks_for_nothing(name: str, value: Any) -> bool:
    """Whether a value of a field that is refused changes nothing: it switches it off, or says what is done anyway."""
    if is_harmless(value):
        return True
    try:
        return name in NEUTRAL and number(value) == NEUTRAL[name]
    except ValueError:
        return False


def _only(*accepted: str, otherwise: str) -> Coercion[str]:
    def word(value: Any) -> str:
        found = text(value).lower()
        if found not in accepted:
            raise ValueError(f"is {excerpt(value)}; {otherwise}")
        return found

    return Coercion(word, {"type": "string", "enum": list(accepted)})


def _one(value: Any) -> int:
    count = whole(value)
    if count != 1:
        raise ValueError(f"is {excerpt(count)}; expected 1, so send a request for each video, with a seed of its own")
    return count


one_video = Coercion(_one, {"type": "integer", "const": 1, "description": "How many to generate."})
video_format = _only("mp4", "auto", otherwise="expected mp4, the only format in which videos are written").with_schema(
    "Format of the file."
)
video_answer = _only(
    "file", "mp4", otherwise="expected file; the answer is the MP4, or a job whose content is the MP4"
).with_schema("Form of the file.")
background = _only("auto", "opaque", otherwise="expected opaque; pictures here have no transparency").with_schema(
    "Without effect: pictures have no transparency."
)
