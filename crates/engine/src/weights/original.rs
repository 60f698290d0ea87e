//! OpenAI's own layout of gpt-oss, a release's folder `original/`: its tensor names in Hugging Face's words, which the
//! models read. Called when such a folder is opened.
//!
//! Source: openai/gpt-oss `torch/model.py` and `torch/weights.py`. The bytes of both layouts are the same, but queries,
//! keys and values lie one behind the other in one tensor here.

/// What a tensor of the file is in Hugging Face's naming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The whole of a tensor.
    Whole(String),
    /// Rows of queries, then of keys, then of values, each a tensor of its own.
    Fused([String; 3]),
}

/// The role of a tensor by its name in the file; none for one that is not known.
pub(super) fn role(name: &str) -> Option<Role> {
    match name {
        "embedding.weight" => return Some(Role::Whole("model.embed_tokens.weight".into())),
        "norm.scale" => return Some(Role::Whole("model.norm.weight".into())),
        "unembedding.weight" => return Some(Role::Whole("lm_head.weight".into())),
        _ => {}
    }
    let (layer, part) = name.strip_prefix("block.")?.split_once('.')?;
    let layer: u32 = layer.parse().ok()?;
    let full = |part: &str| format!("model.layers.{layer}.{part}");
    if let Some(kind @ ("weight" | "bias")) = part.strip_prefix("attn.qkv.") {
        return Some(Role::Fused(
            ["q", "k", "v"].map(|of| full(&format!("self_attn.{of}_proj.{kind}"))),
        ));
    }
    Some(Role::Whole(full(match part {
        "attn.norm.scale" => "input_layernorm.weight",
        "attn.sinks" => "self_attn.sinks",
        "attn.out.weight" => "self_attn.o_proj.weight",
        "attn.out.bias" => "self_attn.o_proj.bias",
        "mlp.norm.scale" => "post_attention_layernorm.weight",
        "mlp.gate.weight" => "mlp.router.weight",
        "mlp.gate.bias" => "mlp.router.bias",
        "mlp.mlp1_weight.blocks" => "mlp.experts.gate_up_proj_blocks",
        "mlp.mlp1_weight.scales" => "mlp.experts.gate_up_proj_scales",
        "mlp.mlp1_bias" => "mlp.experts.gate_up_proj_bias",
        "mlp.mlp2_weight.blocks" => "mlp.experts.down_proj_blocks",
        "mlp.mlp2_weight.scales" => "mlp.experts.down_proj_scales",
        "mlp.mlp2_bias" => "mlp.experts.down_proj_bias",
        _ => return None,
    })))
}
