"""The applications: `build_front`, `build_model`, `build_decoder` are the import paths of every recipe.

A builder places stages and wires them, and loads nothing. Scaling and resources are Serve's own options: a recipe's
`deployments:` section overrides what stands here.
"""

# Without postponed annotations: Ray reads the type of `args` off the builders.
from typing import Any

from ray import serve
from ray.serve import Application, Deployment

from deployments.decoder import Decoder
from deployments.encoder import Encoder
from deployments.generator.leader import Generator
from deployments.generator.routing import STATS_PERIOD_S
from deployments.ingress.deployment import Ingress
from deployments.jobs.deployment import Jobs
from deployments.model import Model
from deployments.reasoner.deployment import Reasoner
from deployments.settings import DecoderSettings, FrontSettings, ModelSettings

# A stage with few slots: the default back-off of up to half a second would leave it idle that long (spec ray_serve 3).
PROMPT_ROUTER: Any = {"initial_backoff_s": 0.01, "max_backoff_s": 0.05}
WORK_ROUTER: Any = PROMPT_ROUTER | {
    "request_router_class": "deployments.generator.routing:LeastQueuedWork",
    "request_routing_stats_period_s": STATS_PERIOD_S,
}
LONGEST_GENERATION_S = 1200


def build_front(args: FrontSettings) -> Application:
    """Ingress and Jobs: everything without weights."""
    jobs = _deployment(
        Jobs,
        max_ongoing_requests=2000,
        num_replicas=1,
        graceful_shutdown_timeout_s=30,
        ray_actor_options={"num_cpus": 1},
    )
    ingress = _deployment(
        serve.ingress()(Ingress),
        max_ongoing_requests=1000,
        graceful_shutdown_timeout_s=LONGEST_GENERATION_S,
        ray_actor_options={"num_cpus": 1},
    )
    return ingress.bind(args, jobs.bind(args))


def build_model(args: ModelSettings) -> Application:
    """The stages of one model, and its card, which is the application's entry."""
    encoder = _encoder().bind(args) if args.needs_encoder else None
    stages: list[Application] = [] if encoder is None else [encoder]
    if args.reasoner is not None:
        eyes = encoder if args.reasoner.vision == "encoder" else None
        stages.append(_reasoner().bind(args, eyes))
    if args.generator is not None:
        stages.append(_generator(args).bind(args))
    return _deployment(Model, ray_actor_options={"num_cpus": 0}).bind(args, *stages)


def build_decoder(args: DecoderSettings) -> Application:
    """The decoder halves of the codecs, shared by all models that have the same."""
    return _deployment(
        Decoder,
        max_ongoing_requests=2,
        request_router_config=PROMPT_ROUTER,
        graceful_shutdown_timeout_s=120,
        ray_actor_options={"num_cpus": 1},
    ).bind(args)


def _encoder() -> Deployment:
    return _deployment(
        Encoder,
        max_ongoing_requests=32,
        request_router_config=PROMPT_ROUTER,
        graceful_shutdown_timeout_s=120,
        ray_actor_options={"num_cpus": 1},
    )


def _reasoner() -> Deployment:
    return _deployment(
        Reasoner, max_ongoing_requests=128, graceful_shutdown_timeout_s=300, ray_actor_options={"num_cpus": 1}
    )


def _generator(args: ModelSettings) -> Deployment:
    assert args.generator is not None
    leader = dict(args.generator.leader_resources)
    return _deployment(
        Generator,
        # Waiting is the leader's: only there can short work overtake long work.
        max_ongoing_requests=256,
        request_router_config=WORK_ROUTER,
        graceful_shutdown_timeout_s=LONGEST_GENERATION_S,
        placement_group_bundles=args.generator.bundles(),
        placement_group_strategy=args.generator.placement_strategy,
        ray_actor_options={"num_cpus": leader.pop("CPU", 0), "resources": leader},
    )


def _deployment(stage: type[Any], **options: Any) -> Deployment:
    """A class as a deployment of its own name."""
    decorate: Any = serve.deployment
    deployment: Deployment = decorate(stage, name=stage.__name__, health_check_period_s=2, **options)
    return deployment
