//! How many multiply-accumulates an operation of a layer graph takes.
//!
//! **Invariant.** Doubled and summed over a training step this is exactly the count of
//! [`FlopConvention::Palm`](crate::shape::count::FlopConvention::Palm), times the tokens of the step.
//! **Not here.** What a particular mapping adds, such as recomputation and padding.

use super::{LayerGraph, LayerOp, OpKind, Phase};

impl LayerGraph {
    /// Multiply-accumulates of `op` in matrix products, for all sequences of the step; 0 for operations without any.
    ///
    /// Attention is counted over the whole square of `seq_len × seq_len` scores, masked or not, as all conventions of
    /// counting FLOPs do.
    #[must_use]
    pub fn macs(&self, op: &LayerOp) -> u128 {
        let t = u128::from(self.seq_len());
        let tokens = u128::from(self.batch()) * t;
        match (op.kind, op.phase) {
            (OpKind::AttentionScores | OpKind::AttentionValues, phase) => {
                // Backward makes two products of the forward one's size: d.q and d.k, d.softmax and d.v.
                let products = if phase == Phase::Forward { 1 } else { 2 };
                products * tokens * t * u128::from(self.shape().d_model)
            }
            (OpKind::Pooler | OpKind::Classifier, _) => u128::from(self.batch()) * op.weights[0].shape.elements(),
            (kind, _) if kind.is_product() => tokens * op.weights[0].shape.elements(),
            _ => 0,
        }
    }
}
