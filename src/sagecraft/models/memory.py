"""Memory of one device in training, from the architecture and the shape of a pass."""

from __future__ import annotations

from sagecraft.models.config import DecoderConfig

GIB = 2**30
#: Interpreter, torch and its buffers.
_OVERHEAD_BYTES = 0.5 * GIB
_WIDTH = {"bfloat16": 2, "float32": 4, "float64": 8}
#: Tokens whose logits exist at once (training.loss).
_LOGIT_TOKENS = 256


def state_bytes(config: DecoderConfig, compute_dtype: str, num_learning: int | None = None) -> float:
    """Bytes of weights and optimizer: 16 a parameter that learns (master, gradient, two moments) and the copies that compute.

    Args:
        config: the architecture.
        compute_dtype: of the copies.
        num_learning: parameters that learn; None is all of them. With LoRA they are fewer, and beside the model's.
    """
    width, whole = _WIDTH[compute_dtype], config.num_parameters()
    learning = whole if num_learning is None else num_learning
    copies = whole if learning >= whole else whole + learning
    return float(learning * 4 * max(4, width) + copies * width)


def linear_shapes(config: DecoderConfig) -> dict[str, tuple[int, int]]:
    """Hugging Face name of each linear layer but the output head → [out, in]."""
    width, inner = config.hidden_size, config.intermediate_size
    queries, keys = config.num_heads * config.head_size, config.num_key_value_heads * config.head_size
    layer = {
        "self_attn.q_proj": (queries, width),
        "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width),
        "self_attn.o_proj": (width, queries),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }
    return {f"model.layers.{n}.{name}": shape for n in range(config.num_layers) for name, shape in layer.items()}


def kept_bytes_per_token(config: DecoderConfig, compute_dtype: str, native: bool = False) -> float:
    """Bytes that the backward pass needs of one token when nothing is computed again.

    16 d + 6 q + 4 k + 8 f a layer in bf16, q being the width of all queries, k that of all keys and f that of the
    feed-forward part; 8 d + 4 q + 4 k + 6 f with the kernels of a processor (`native`), which keep what norms and gates
    were given and not what they made of it. Fitted to the tensors that autograd keeps of our decoder (residual 0.6 %);
    a test holds both against them.
    """
    queries, keys = config.num_heads * config.head_size, config.num_key_value_heads * config.head_size
    layer = _stream_bytes(config, native) + (4 if native else 6) * queries + 4 * keys
    layer += (6 if native else 8) * config.intermediate_size
    return config.num_layers * layer * _WIDTH[compute_dtype] / 2


def _stream_bytes(config: DecoderConfig, native: bool) -> int:
    """Of a layer and token in bf16, what is as wide as the stream."""
    return (8 if native else 16) * config.hidden_size


def recomputed_bytes_per_token(config: DecoderConfig, compute_dtype: str, native: bool = False) -> float:
    """The same when only the layers' inputs are kept and one layer at a time is computed again."""
    inputs = config.num_layers * config.hidden_size * _WIDTH[compute_dtype]
    return inputs + kept_bytes_per_token(config, compute_dtype, native) / config.num_layers


def head_bytes(config: DecoderConfig, frozen: bool = False) -> float:
    """Bytes of the loss: the head's gradient in float32, unless it is frozen, and the logits of a chunk, twice."""
    return 4.0 * config.vocab_size * ((0 if frozen else config.hidden_size) + 2 * _LOGIT_TOKENS)


def gathered_bytes(config: DecoderConfig, compute_dtype: str) -> float:
    """Bytes that a process holds of what is sharded, beside its share: the tables, and two layers with a gradient each.

    FSDP keeps the root's parameters (embedding, head, last norm) from the forward to the backward pass, and of the layers
    the one that computes and the one that is being fetched; a layer's gradient exists whole until it has been summed.
    """
    width, wide = _WIDTH[compute_dtype], max(4, _WIDTH[compute_dtype])
    tables = config.vocab_size * config.hidden_size * (1 if config.tied_embeddings else 2)
    layer = (config.num_parameters() - tables) / config.num_layers
    return width * (tables + 2 * layer) + (width + wide) * layer


def training_gib(
    config: DecoderConfig,
    compute_dtype: str,
    tokens_per_pass: int,
    num_devices: int,
    recompute: bool,
    num_learning: int | None = None,
    tensor: int = 1,
    native: bool = False,
) -> float:
    """Memory of one device in GiB; states are sharded, activations of a device's own tokens are not.

    Tensor parallelism cuts what is as wide as the heads and the feed-forward part; the stream of width d is on every
    device.

    Args:
        config: the architecture.
        compute_dtype: of forward and backward pass.
        tokens_per_pass: tokens that one device takes at once.
        num_devices: devices that share the states: all, or those of one replica.
        recompute: activations are computed again in the backward pass.
        num_learning: parameters that learn; None is all of them.
        tensor: devices that share every matrix and work on the same tokens.
        native: the kernels of a processor compute.
    """
    per_token = recomputed_bytes_per_token if recompute else kept_bytes_per_token
    stream = _stream_bytes(config, native) * _WIDTH[compute_dtype] / 2 * (1 if recompute else config.num_layers)
    inputs = config.num_layers * config.hidden_size * _WIDTH[compute_dtype] if recompute else 0
    whole = stream + inputs
    activations = (whole + (per_token(config, compute_dtype, native) - whole) / tensor) * tokens_per_pass
    states = state_bytes(config, compute_dtype, num_learning)
    if num_devices > 1:
        copies = (config.num_parameters() if num_learning is None else num_learning) * _WIDTH[compute_dtype]
        states = (states - copies) / num_devices + gathered_bytes(config, compute_dtype) / tensor
    frozen = num_learning is not None and num_learning < config.num_parameters()
    return (states + activations + head_bytes(config, frozen) / tensor + _OVERHEAD_BYTES) / GIB


def inference_gib(config: DecoderConfig, dtype: str, num_tokens: int) -> float:
    """Memory of one copy that answers, with keys and values of `num_tokens`."""
    width = _WIDTH[dtype]
    cache = 2 * config.num_layers * config.num_key_value_heads * config.head_size * num_tokens * width
    return (config.num_parameters() * width + cache + _OVERHEAD_BYTES) / GIB
