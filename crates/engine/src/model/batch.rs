//! The flat batch: no padding, no batch dimension. The engine builds it from a scheduler step.

use crate::ops::attention::SpanTable;

/// One sequence's consecutive rows.
#[derive(Clone, Debug)]
pub struct BatchSequence {
    /// First row.
    pub start: usize,
    /// Number of rows.
    pub len: usize,
    /// Positions known after this batch.
    pub context: usize,
    /// A page table per layer group.
    pub page_tables: Vec<Vec<u32>>,
}

/// Rows of all sequences, one after another.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Token ids `[T]`.
    pub tokens: Vec<u32>,
    /// Positions `[T]`.
    pub positions: Vec<u32>,
    /// Whose rows they are, in order.
    pub sequences: Vec<BatchSequence>,
    /// Rows whose logits are wanted.
    pub logit_rows: Vec<u32>,
}

impl Batch {
    /// Appends a sequence's rows at positions `start_position ..`; returns the first row.
    pub fn push(
        &mut self,
        tokens: &[u32],
        start_position: usize,
        page_tables: Vec<Vec<u32>>,
    ) -> usize {
        let start = self.tokens.len();
        self.tokens.extend_from_slice(tokens);
        self.positions
            .extend((start_position..start_position + tokens.len()).map(|p| p as u32));
        self.sequences.push(BatchSequence {
            start,
            len: tokens.len(),
            context: start_position + tokens.len(),
            page_tables,
        });
        start
    }

    /// The spans as layer group `group` sees them.
    pub fn spans(&self, group: usize) -> Vec<SpanTable> {
        self.sequences
            .iter()
            .map(|s| SpanTable {
                first_row: s.start,
                len: s.len,
                context: s.context,
                page_table: s.page_tables.get(group).cloned().unwrap_or_default(),
            })
            .collect()
    }
}
