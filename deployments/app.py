"""The applications: `build_front`, `build_model`, `build_decoder`, `build_guardrails` are the import paths of recipes.

A builder places stages and wires them, and loads nothing: it names a stage's class by its import path, which only the
stage's own replicas import. Scaling and resources are Serve's own options: a recipe's `deployments:` section overrides
what stands here.
"""

# Without postponed annotations: Ray reads the type of `args` off the builders.
from typing import Any

from ray import serve
from ray.serve import Application, Deployment

from deployments.settings.decoder import DecoderSettings
from deployments.settings.front import FrontSettings
from deployments.settings.guardrails import GuardrailsSettings
from deployments.settings.model import ModelSettings

# A stage with few slots: the default back-off of up to half a second would leave it idle that long (spec ray_serve 3).
STATS_PERIOD_S = 0.5
"""How often Serve asks the leaders how much work waits; it draws each wait from half to one and a half of it."""
PROMPT_ROUTER: Any = {"initial_backoff_s": 0.01, "max_backoff_s": 0.05}
WORK_ROUTER: Any = PROMPT_ROUTER | {
    "request_router_class": "deployments.generator.routing:LeastQueuedWork",
    "request_routing_stats_period_s": STATS_PERIOD_S,
}
CONTENT_ROUTER: Any = PROMPT_ROUTER | {"request_router_class": "deployments.content_routing:ContentAffinity"}
LONGEST_GENERATION_S = 1200


def build_front(args: FrontSettings) -> Application:
    """Ingress and Jobs: everything without weights."""
    jobs = _deployment(
        "deployments.jobs.deployment.Jobs",
        max_ongoing_requests=2000,
        num_replicas=1,
        graceful_shutdown_timeout_s=30,
        ray_actor_options={"num_cpus": 1},
    )
    ingress = _deployment(
        "deployments.ingress.deployment.Ingress",
        max_ongoing_requests=1000,
        graceful_shutdown_timeout_s=LONGEST_GENERATION_S,
        ray_actor_options={"num_cpus": 1},
    )
    return ingress.bind(args, jobs.bind(args))


def build_model(args: ModelSettings) -> Application:
    """The stages of one model, and its card, which is the application's entry."""
    encoder = _encoder().bind(args) if args.needs_encoder else None
    stages: list[Application] = [] if encoder is None else [encoder]
    reasoner = None
    if args.reasoner is not None:
        reasoner = _reasoner().bind(args, encoder if args.reasoner.vision == "encoder" else None)
    if args.generator is not None:
        stages.append(_generator(args).bind(args))
    return _model().bind(args, reasoner, *stages)


def build_decoder(args: DecoderSettings) -> Application:
    """The decoder halves of the codecs, shared by all models that have the same."""
    return _deployment(
        "deployments.decoder.Decoder",
        max_ongoing_requests=2,
        request_router_config=PROMPT_ROUTER,
        graceful_shutdown_timeout_s=120,
        ray_actor_options={"num_cpus": 1},
    ).bind(args)


def build_guardrails(args: GuardrailsSettings) -> Application:
    """The guardrails, which the front's `guardrails.application` names."""
    return _deployment(
        "deployments.guardrails.Guardrails",
        # A text waits behind chunks of frames, and each Decoder asks about one chunk at a time.
        max_ongoing_requests=32,
        request_router_config=PROMPT_ROUTER,
        graceful_shutdown_timeout_s=60,
        ray_actor_options={"num_cpus": 1},
    ).bind(args)


def _encoder() -> Deployment:
    return _deployment(
        "deployments.encoder.Encoder",
        # Each medium of a chat is a request, and waits in the Encoder's own queue.
        max_ongoing_requests=256,
        request_router_config=CONTENT_ROUTER,
        graceful_shutdown_timeout_s=120,
        ray_actor_options={"num_cpus": 1},
    )


def _reasoner() -> Deployment:
    return _deployment(
        "deployments.reasoner.deployment.Reasoner",
        max_ongoing_requests=128,
        graceful_shutdown_timeout_s=300,
        ray_actor_options={"num_cpus": 1},
    )


def _model() -> Deployment:
    return _deployment(
        "deployments.model.Model",
        # Jobs that wait for a prompt must not keep the front from reading the card.
        max_ongoing_requests=1000,
        ray_actor_options={"num_cpus": 0},
    )


def _generator(args: ModelSettings) -> Deployment:
    assert args.generator is not None
    leader = dict(args.generator.leader_resources)
    return _deployment(
        "deployments.generator.leader.Generator",
        # Waiting is the leader's: only there can short work overtake long work.
        max_ongoing_requests=256,
        request_router_config=WORK_ROUTER,
        graceful_shutdown_timeout_s=LONGEST_GENERATION_S,
        placement_group_bundles=args.generator.bundles(),
        placement_group_strategy=args.generator.placement_strategy,
        ray_actor_options={"num_cpus": leader.pop("CPU", 0), "resources": leader},
    )


def _deployment(path: str, **options: Any) -> Deployment:
    """The class at an import path, as a deployment of its name."""
    decorate: Any = serve.deployment(name=path.rpartition(".")[2], health_check_period_s=2, **options)
    deployment: Deployment = decorate(path)
    return deployment
