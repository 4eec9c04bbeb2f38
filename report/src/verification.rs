//! Kernels on which folding was verified, in a report.
//!
//! **Not here.** The comparison (`runner::verify_fold`).

use crate::form;
use runner::verify_fold;
use schemars::JsonSchema;
use serde::Serialize;
use sim_core::report::FoldNote;

/// Programs that were executed folded and in full, and had equal counters in every PE.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FoldVerification {
    /// Seed that chose them and their meshes.
    pub seed: u64,
    /// The programs.
    pub kernels: Vec<VerifiedKernel>,
}

/// A program whose folded and full runs agree.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct VerifiedKernel {
    /// What it computes.
    pub name: String,
    /// Columns of its mesh.
    pub width: u32,
    /// Rows of its mesh.
    pub height: u32,
    /// Its cycles; 0 if it does not end.
    pub cycles: u64,
    /// What was folded in the folded run.
    #[schemars(with = "Vec<form::FoldNote>")]
    pub folds: Vec<FoldNote>,
}

impl From<verify_fold::FoldVerification> for FoldVerification {
    fn from(v: verify_fold::FoldVerification) -> FoldVerification {
        let kernel = |k: verify_fold::VerifiedKernel| VerifiedKernel {
            name: k.name,
            width: k.grid.width,
            height: k.grid.height,
            cycles: k.cycles,
            folds: k.folds,
        };
        FoldVerification { seed: v.seed, kernels: v.kernels.into_iter().map(kernel).collect() }
    }
}
