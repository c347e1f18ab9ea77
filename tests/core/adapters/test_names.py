"""Names in adapters' files, as trainers write them, to modules of the tower."""

from __future__ import annotations

import pytest

from cosmos3_core.adapters.names import Role, split_name, tower_module


@pytest.mark.parametrize(
    ("tensor", "module", "role"),
    [
        ("base_model.model.layers.0.self_attn.add_q_proj.lora_A.weight", "layers.0.self_attn.add_q_proj", Role.DOWN),
        ("transformer.layers.3.self_attn.to_add_out.lora_B.weight", "layers.3.self_attn.to_add_out", Role.UP),
        ("layers.1.mlp_moe_gen.up_proj.lora_down.weight", "layers.1.mlp_moe_gen.up_proj", Role.DOWN),
        ("layers.1.mlp_moe_gen.up_proj.lora_up.weight", "layers.1.mlp_moe_gen.up_proj", Role.UP),
        ("layers.1.mlp_moe_gen.up_proj.alpha", "layers.1.mlp_moe_gen.up_proj", Role.ALPHA),
        (
            "net.language_model.model.layers.2.self_attn.q_proj_moe_gen.lora_A.weight",
            "layers.2.self_attn.add_q_proj",
            Role.DOWN,
        ),
        ("model.layers.2.self_attn.k_proj_moe_gen.lora_A.weight", "layers.2.self_attn.add_k_proj", Role.DOWN),
        ("model.layers.2.self_attn.v_proj_moe_gen.lora_A.weight", "layers.2.self_attn.add_v_proj", Role.DOWN),
        ("model.layers.2.self_attn.o_proj_moe_gen.lora_A.default.weight", "layers.2.self_attn.to_add_out", Role.DOWN),
        ("net.vae2llm.lora_B.weight", "proj_in", Role.UP),
        ("net.llm2vae.lora_B.default.weight", "proj_out", Role.UP),
        ("net.sound2llm.lora_B.weight", "audio_proj_in", Role.UP),
        ("llm2sound.lora_B.weight", "audio_proj_out", Role.UP),
        ("net.time_embedder.mlp.0.lora_A.weight", "time_embedder.linear_1", Role.DOWN),
        ("net.time_embedder.mlp.2.lora_A.weight", "time_embedder.linear_2", Role.DOWN),
    ],
)
def test_names(tensor: str, module: str, role: Role) -> None:
    found = split_name(tensor)
    assert found is not None
    assert (tower_module(found[0]), found[1]) == (module, role)


@pytest.mark.parametrize(
    "tensor",
    ["layers.0.self_attn.add_q_proj.weight", "layers.0.x.lora_magnitude_vector", "layers.0.x.lora_B.bias", "alpha"],
)
def test_other_tensors_are_not_of_lora(tensor: str) -> None:
    assert split_name(tensor) is None
