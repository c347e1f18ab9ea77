"""Bytes that a rank of a Generator holds: weights, resident tasks, and the temporary tensors of a step.

Formulas over the shapes of a checkpoint (spec 1.8), for a gang of given degrees; no weights are needed.
"""

from __future__ import annotations

from dataclasses import dataclass

from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.parallel.degrees import Degrees, part
from cosmos3_core.sampling.sampling import SOLVER_ORDER

FP32_BYTES, BF16_BYTES = 4, 2
TIME_CHANNELS = 256


@dataclass(frozen=True)
class StepShape:
    """What a denoising step works on.

    Attributes:
        tokens: generation tokens, those of given items included.
        text_tokens: length of the text of each guidance branch: two with guidance, one without or outside its interval.
        uncontrolled_tokens: generation tokens of the branch of the first text without the controls; 0 where there is
            none.

    Raises:
        ValueError: no tokens, or other than one or two texts.
    """

    tokens: int
    text_tokens: tuple[int, ...]
    uncontrolled_tokens: int = 0

    @property
    def branches(self) -> tuple[tuple[int, int], ...]:
        """Generation tokens and text tokens of each branch, in the order in which ranks share them."""
        branches = tuple((self.tokens, text) for text in self.text_tokens)
        return (*branches, (self.uncontrolled_tokens, self.text_tokens[0])) if self.uncontrolled_tokens else branches

    def __post_init__(self) -> None:
        if self.tokens < 1 or min(self.text_tokens, default=0) < 0:
            raise ValueError(
                f"{self.tokens} tokens behind {self.text_tokens} of text; expected 1 or more behind 0 or more"
            )
        if len(self.text_tokens) not in (1, 2):
            raise ValueError(f"text_tokens has {len(self.text_tokens)} branches; expected 1 or 2")


# Shapes of a rank


@dataclass(frozen=True)
class RankShape:
    """The most that any rank of a gang has of each thing that is split.

    Attributes:
        projected: K/V heads whose projections it holds.
        attended: K/V heads that it attends with.
        columns: MLP columns that it holds.
    """

    projected: int
    attended: int
    columns: int


def rank_shape(config: TransformerConfig, degrees: Degrees, rank: int | None = None) -> RankShape:
    """What a rank holds; without a rank the most that any holds.

    Raises:
        ParallelError: more ranks along `tp` and `ulysses` than K/V heads.
    """
    degrees.check(config)
    shapes = [
        RankShape(
            projected=_length(degrees.tensor_heads(config, index)),
            attended=_length(degrees.attention_heads(config, index)),
            columns=_length(degrees.mlp_columns(config, index)),
        )
        for index in (range(degrees.world_size) if rank is None else [rank])
    ]
    return RankShape(
        projected=max(shape.projected for shape in shapes),
        attended=max(shape.attended for shape in shapes),
        columns=max(shape.columns for shape in shapes),
    )


def _length(piece: slice) -> int:
    return int(piece.stop - piece.start)


def most_tokens(tokens: int, degrees: Degrees) -> int:
    """Tokens of the rank that has the most."""
    return _length(part(tokens, degrees.ulysses, 0))


def own_branches(step: StepShape, degrees: Degrees) -> tuple[tuple[int, int], ...]:
    """Tokens and text tokens of the branches that one rank computes: with guidance parallelism the costliest share."""
    shares = [step.branches[first :: degrees.cfg] for first in range(degrees.cfg)]
    return max(shares, key=lambda share: sum(tokens * (tokens + text) for tokens, text in share))


def layer_parameters(config: TransformerConfig, heads: int, columns: int) -> int:
    """Parameters of the projections of one layer, with so many K/V heads and MLP columns (spec 1.8)."""
    width, group = config.head_dim, config.num_attention_heads // config.num_key_value_heads
    attention = 2 * heads * (group + 1) * width * config.hidden_size
    return attention + _mlp_matrices(config) * columns * config.hidden_size


def _mlp_matrices(config: TransformerConfig) -> int:
    return 2 if config.hidden_act == "relu2" else 3


def whole_layers(config: TransformerConfig) -> int:
    """Parameters of the projections of a whole tower."""
    per_layer = layer_parameters(config, config.num_key_value_heads, config.intermediate_size)
    return config.num_hidden_layers * per_layer


# Bytes of weights


def weight_bytes(config: TransformerConfig, degrees: Degrees, rank: int, dtype_bytes: int) -> int:
    """Bytes of the generation tower on a rank: its share of the projections, and the replicated tensors."""
    shape = rank_shape(config, degrees, rank)
    layers = config.num_hidden_layers * layer_parameters(config, shape.projected, shape.columns)
    return layers * dtype_bytes + sum(replicated_bytes(config, dtype_bytes).values())


def replicated_bytes(config: TransformerConfig, dtype_bytes: int) -> dict[str, int]:
    """Bytes of the modules that every rank of a gang holds whole, by their names in the checkpoint (spec 1.6)."""
    hidden, layers = config.hidden_size, config.num_hidden_layers
    counts = {
        "proj_in": (config.patch_latent_dim + 1) * hidden,
        "proj_out": (hidden + 1) * config.patch_latent_dim,
        "norm_moe_gen": hidden,
        "layers.*.input_layernorm_moe_gen": layers * hidden,
        "layers.*.post_attention_layernorm_moe_gen": layers * hidden,
        "layers.*.self_attn.norm_added_q": layers * config.head_dim,
        "layers.*.self_attn.norm_added_k": layers * config.head_dim,
    }
    if config.sound_gen:
        counts |= _heads("audio", 1, config.sound_dim, hidden)
    if config.action_gen:
        counts |= _heads("action", config.num_embodiment_domains, config.action_dim, hidden)
    # The one module that stays in fp32 (spec 2.5).
    time_embedder = (TIME_CHANNELS + 1) * hidden + (hidden + 1) * hidden
    held = {name: count * dtype_bytes for name, count in counts.items()}
    return held | {"time_embedder": time_embedder * FP32_BYTES}


def _heads(name: str, domains: int, width: int, hidden: int) -> dict[str, int]:
    return {
        f"{name}_proj_in": domains * (width + 1) * hidden,
        f"{name}_proj_out": domains * (hidden + 1) * width,
        f"{name}_modality_embed": hidden,
    }


def understanding_bytes(config: TransformerConfig, dtype_bytes: int) -> int:
    """Bytes of the tower that turns prompts into keys and values; its last layer has what those need (spec 2.6)."""
    hidden, key_norms = config.hidden_size, config.qk_norm_for_text + config.understanding_key_norm_for_generation
    keys_and_values = 2 * config.num_key_value_heads * config.head_dim * hidden
    last = keys_and_values + hidden + key_norms * config.head_dim
    whole = layer_parameters(config, config.num_key_value_heads, config.intermediate_size) + _text_norms(config)
    return (config.vocab_size * hidden + (config.num_hidden_layers - 1) * whole + last) * dtype_bytes


def reasoner_bytes(config: TransformerConfig, vision_parameters: int, dtype_bytes: int) -> int:
    """Bytes of a whole Reasoner: the understanding tower, both embeddings, and the ViT (spec 1.8)."""
    layers = whole_layers(config) + config.num_hidden_layers * _text_norms(config)
    embeddings = 2 * config.vocab_size * config.hidden_size
    return (layers + embeddings + config.hidden_size + vision_parameters) * dtype_bytes


def _text_norms(config: TransformerConfig) -> int:
    head_norms = 2 * config.qk_norm_for_text + config.understanding_key_norm_for_generation
    return 2 * config.hidden_size + head_norms * config.head_dim


# Bytes of tasks and steps


def key_value_bytes(config: TransformerConfig, tokens: int, degrees: Degrees, bytes_per_value: int) -> int:
    """Bytes of a text's keys and values on a rank, which needs only the heads it attends with."""
    whole = config.key_value_bytes(tokens, bytes_per_value)
    return whole * rank_shape(config, degrees).attended // config.num_key_value_heads


def task_bytes(
    config: TransformerConfig,
    latent_values: int,
    step: StepShape,
    degrees: Degrees,
    bytes_per_value: int,
    given_values: int = 0,
) -> int:
    """Bytes that a resident denoising task holds on a rank between two steps.

    Every rank holds in fp32 and whole: the latents, the solver's previous sample and its `SOLVER_ORDER` clean
    estimates, the given values with their mask, and the items that are given whole. It holds keys and values for its
    own texts and heads, and cosines and sines for its own branches and all tokens.

    Args:
        config: shapes of the checkpoint.
        latent_values: values in the latents of all modalities.
        step: shape of the task's first step.
        degrees: the gang's degrees.
        bytes_per_value: size of the compute dtype.
        given_values: values in the latents of the items that are given whole.
    """
    own = own_branches(step, degrees)
    latents = ((2 + SOLVER_ORDER + 2) * latent_values + given_values) * FP32_BYTES
    # The branches with and without controls have one text.
    texts = [text for tokens, text in own if tokens == step.tokens] or [own[0][1]]
    text = key_value_bytes(config, sum(texts), degrees, bytes_per_value)
    rope = 2 * sum(tokens for tokens, _ in own) * config.head_dim * bytes_per_value
    noisy = step.tokens
    return latents + text + rope + noisy


def activation_bytes(
    config: TransformerConfig,
    step: StepShape,
    degrees: Degrees,
    bytes_per_value: int,
    batch: int = 1,
    batch_guidance: bool = False,
) -> int:
    """Peak bytes of the temporary tensors of a step on a rank.

    With H the hidden size, N all tokens, n those of this rank, a forward of r rows (tasks, times branches where
    guidance is batched) keeps from start to end the embedded latents of every task (N H), the stacked rows (r N H),
    their cosines and sines, and the velocities of a finished branch. The largest of four moments is added:

    - the MLP: input of the layer, residual and normalised residual (3 r n H) and the widest tensors of the MLP:
      activated gate, up projection and product, or two of them where there is no gate;
    - a norm, which works in fp32: input, residual and the bytes of six more (r n H each), seven in Edge;
    - with Ulysses, the exchange after attention: those 3 r n H, projections of the rank's tokens and the copy that is
      sent, the same received and joined for the rank's heads, and the result twice before it is sent and once after;
    - with Ulysses, the all-gather at the end: the result, its padded copy, the received pieces, and all of them joined.

    tests/core/planning/test_memory.py traces the real modules on the meta device.

    Args:
        config: shapes of the checkpoint.
        step: the step's shape.
        degrees: the gang's degrees.
        bytes_per_value: size of the compute dtype.
        batch: tasks in one forward.
        batch_guidance: whether both branches of a task are in one forward.
    """
    own, tokens, hidden = own_branches(step, degrees), step.tokens, config.hidden_size
    # Branches of one length are one forward; the longest takes the most.
    together = sum(length == tokens for length, _ in own)
    rows = batch * together if batch_guidance else batch
    kept = (batch + rows) * tokens * hidden + 2 * rows * tokens * config.head_dim
    moment = max(
        _mlp_values(config, degrees, tokens),
        (9 if config.nemotron_norm else 8) * most_tokens(tokens, degrees) * hidden,
        _exchange_values(config, degrees, tokens),
        _gather_values(config, degrees, tokens),
    )
    done = 0 if batch_guidance or len(own) == 1 else batch * tokens * config.patch_latent_dim * FP32_BYTES
    # Attention runs row by row, so counting it for all rows is an upper bound.
    return (kept + rows * moment) * bytes_per_value + done


def _mlp_values(config: TransformerConfig, degrees: Degrees, tokens: int) -> int:
    here, columns = most_tokens(tokens, degrees), rank_shape(config, degrees).columns
    # As many tensors of that width live at once as there are matrices.
    return here * (3 * config.hidden_size + _mlp_matrices(config) * columns)


def _exchange_values(config: TransformerConfig, degrees: Degrees, tokens: int) -> int:
    if degrees.ulysses == 1:
        return 0
    shape, here = rank_shape(config, degrees), most_tokens(tokens, degrees)
    group, width = config.num_attention_heads // config.num_key_value_heads, config.head_dim
    own_tokens = here * (3 * config.hidden_size + (2 * (group + 2) + group) * shape.projected * width)
    own_heads = tokens * (2 * (group + 2) + 2 * group) * shape.attended * width
    return own_tokens + own_heads


def _gather_values(config: TransformerConfig, degrees: Degrees, tokens: int) -> int:
    if degrees.ulysses == 1:
        return 0
    return 2 * (most_tokens(tokens, degrees) + tokens) * config.hidden_size
