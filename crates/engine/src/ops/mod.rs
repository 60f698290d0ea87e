//! What models are made of: operations on candle tensors that run our kernels. Models call them; they see no model.
//!
//! On the CPU every op reads and writes contiguous f32; `cpu_fwd` hands slices to `seed_kernels::cpu`.

pub mod attention;
pub mod embedding;
pub mod linear;
pub mod moe;
pub mod norm;
pub mod rope;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

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

/// Calls `work` with the elements of contiguous f32 CPU tensors.
pub(crate) fn with_slices<T, const N: usize>(
    tensors: [&Tensor; N],
    op: &str,
    work: impl FnOnce([&[f32]; N]) -> T,
) -> Result<T> {
    let held = tensors.map(Tensor::storage_and_layout);
    let mut slices = [&[][..]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&held) {
        match &**storage {
            Storage::Cpu(storage) => *slice = f32s(storage, layout, op)?,
            _ => bail!("{op}: the input must be on the CPU"),
        }
    }
    Ok(work(slices))
}
