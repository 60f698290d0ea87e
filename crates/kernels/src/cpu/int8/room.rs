//! Memory that tiles are made in: in huge pages where the system has them, since a model's tiles are written once and read
//! all through. `tiling.rs` fills it.

use memmap2::MmapMut;

/// Bytes of a huge page; what is smaller lies on the heap.
const HUGE: usize = 2 << 20;

/// Zeroed bytes.
pub(super) enum Room {
    Heap(Vec<u8>),
    Pages(MmapMut),
}

impl Room {
    pub(super) fn zeroed(bytes: usize) -> Self {
        let pages = if bytes < HUGE {
            None
        } else {
            MmapMut::map_anon(bytes).ok()
        };
        let Some(pages) = pages else {
            return Self::Heap(vec![0; bytes]);
        };
        // A wish; without it the pages are small ones.
        #[cfg(target_os = "linux")]
        let _ = pages.advise(memmap2::Advice::HugePage);
        Self::Pages(pages)
    }
}

impl AsRef<[u8]> for Room {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Pages(pages) => pages,
        }
    }
}

impl AsMut<[u8]> for Room {
    fn as_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Pages(pages) => pages,
        }
    }
}
