//! What models are made of: operations on candle tensors that run our kernels. Models call them; they see no model.
//!
//! On the CPU every op reads and writes contiguous f32; `cpu_fwd` hands slices to `seed_kernels::cpu`.

pub mod activation;
pub mod attention;
pub mod embedding;
pub mod linear;
pub mod moe;
pub mod norm;
pub mod rope;

use candle_core::{CpuStorage, Layout, Result, bail};

/// The elements of a contiguous f32 CPU tensor.
pub(crate) fn f32s<'a>(storage: &'a CpuStorage, layout: &Layout, op: &str) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("{op}: the input must be contiguous")
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// The same, to be written in place.
pub(crate) fn f32s_mut<'a>(
    storage: &'a mut CpuStorage,
    layout: &Layout,
    op: &str,
) -> Result<&'a mut [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("{op}: the output must be contiguous")
    };
    match storage {
        CpuStorage::F32(values) => Ok(&mut values[start..end]),
        other => bail!(
            "{op}: expected f32, got {:?}",
            candle_core::backend::BackendStorage::dtype(other)
        ),
    }
}
