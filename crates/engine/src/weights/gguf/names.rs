//! GGUF's tensor names in Hugging Face's words, which the models read. Called when a GGUF file is opened.
//!
//! Source: llama.cpp `gguf-py/gguf/tensor_mapping.py`; the experts' gate and up lie apart there, and are one
//! interleaved tensor here.

/// What a tensor of the file is in Hugging Face's naming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The whole of a tensor.
    Whole(String),
    /// The gates of an interleaved gate-and-up tensor.
    Gate(String),
    /// The ups of an interleaved gate-and-up tensor.
    Up(String),
    /// First all gates, then all ups, of each expert.
    GateThenUp(String),
}

/// The role of a tensor by its name in the file; none for one that is not known.
pub(super) fn role(name: &str) -> Option<Role> {
    match name {
        "token_embd.weight" => return Some(Role::Whole("model.embed_tokens.weight".into())),
        "output_norm.weight" => return Some(Role::Whole("model.norm.weight".into())),
        "output.weight" => return Some(Role::Whole("lm_head.weight".into())),
        _ => {}
    }
    let (layer, part) = name.strip_prefix("blk.")?.split_once('.')?;
    let layer: u32 = layer.parse().ok()?;
    let (part, kind) = part.rsplit_once('.')?;
    if kind != "weight" && kind != "bias" {
        return None;
    }
    let full = |stem: &str| format!("model.layers.{layer}.{stem}");
    // An experts' tensor is named without `.weight`, its bias with `_bias`.
    let expert = |stem: &str| {
        full(&format!("mlp.experts.{stem}")) + if kind == "bias" { "_bias" } else { "" }
    };
    let linear = |stem: &str| Role::Whole(full(&format!("{stem}.{kind}")));
    Some(match part {
        "attn_norm" => linear("input_layernorm"),
        "post_attention_norm" => linear("post_attention_layernorm"),
        "attn_q" => linear("self_attn.q_proj"),
        "attn_k" => linear("self_attn.k_proj"),
        "attn_v" => linear("self_attn.v_proj"),
        "attn_output" => linear("self_attn.o_proj"),
        "attn_sinks" => Role::Whole(full("self_attn.sinks")),
        "ffn_gate" => linear("mlp.gate_proj"),
        "ffn_up" => linear("mlp.up_proj"),
        "ffn_down" => linear("mlp.down_proj"),
        "ffn_gate_inp" => linear("mlp.router"),
        "ffn_gate_exps" => Role::Gate(expert("gate_up_proj")),
        "ffn_up_exps" => Role::Up(expert("gate_up_proj")),
        "ffn_gate_up_exps" => Role::GateThenUp(expert("gate_up_proj")),
        "ffn_down_exps" => Role::Whole(expert("down_proj")),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_the_models_read() {
        let whole = |name: &str| Some(Role::Whole(name.into()));
        assert_eq!(role("output.weight"), whole("lm_head.weight"));
        assert_eq!(
            role("blk.3.attn_q.bias"),
            whole("model.layers.3.self_attn.q_proj.bias")
        );
        assert_eq!(
            role("blk.0.attn_sinks.weight"),
            whole("model.layers.0.self_attn.sinks")
        );
        assert_eq!(
            role("blk.12.ffn_down_exps.bias"),
            whole("model.layers.12.mlp.experts.down_proj_bias")
        );
        assert_eq!(
            role("blk.1.ffn_up_exps.weight"),
            Some(Role::Up("model.layers.1.mlp.experts.gate_up_proj".into()))
        );
        for foreign in [
            "blk.x.attn_q.weight",
            "blk.1.ssm_in.weight",
            "rope_freqs.weight",
        ] {
            assert_eq!(role(foreign), None);
        }
    }
}
