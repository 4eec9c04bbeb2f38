//! The phases of a run: those that were published, or one with the batch and the systems that are
//! wanted.
//!
//! **Invariant.** Every phase has at least one step; a published run is followed to the step unless
//! something else was asked for, and then it does not count as published.

use crate::error::Error;
use crate::workload::Workload;
use models::count::parameters;
use models::presets::Training;
use models::training::{Schedule, TOKENS_PER_PARAMETER};
use sim_core::arch::ArchSpec;
use sim_core::diag::Diagnostic;

/// Most steps of a run.
const STEPS_MAX: u64 = 1_000_000_000;

/// A part of a run with one batch size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// Sequences per step, all systems.
    pub batch: u64,
    /// Steps of the phase.
    pub steps: u64,
    /// Systems that share the batch.
    pub systems: u32,
}

impl Phase {
    /// Tokens of all steps; a plan has no phase with more than the type holds.
    #[must_use]
    pub fn tokens(&self, seq_len: u32) -> u64 {
        self.steps.saturating_mul(self.batch).saturating_mul(u64::from(seq_len))
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingPlan {
    /// Its phases, in order.
    pub phases: Vec<Phase>,
    /// The published run of this model, if there is one.
    pub training: Option<Training>,
    /// Whether this is that run, to the step.
    pub published: bool,
    /// Where it is from, for people.
    pub origin: String,
}

/// What is chosen beside the model; what is `None` is as published.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request {
    /// Sequences per step.
    pub batch: Option<u64>,
    /// Systems that share the batch.
    pub systems: Option<u32>,
    /// Steps of the phase.
    pub steps: Option<u64>,
    /// Tokens per parameter.
    pub tokens_per_parameter: Option<f64>,
}

impl TrainingPlan {
    /// The plan for a model on a machine.
    ///
    /// # Errors
    /// Every diagnostic of the request; or that the published run needs more systems than there are.
    pub fn new(workload: &Workload, arch: &ArchSpec, request: &Request) -> Result<TrainingPlan, Error> {
        check(request)?;
        let training = workload.published.as_ref().and_then(|p| p.training.clone());
        let known = training.as_ref().filter(|_| request.batch.is_none());
        let mut phases: Vec<Phase> = match known {
            Some(run) => run
                .stages
                .iter()
                .map(|s| Phase { batch: s.batch, steps: s.steps, systems: request.systems.unwrap_or(s.systems) })
                .collect(),
            None => vec![Phase { batch: workload.batch, steps: 0, systems: arch.cluster.systems.value }],
        };
        if let Some(most) = phases.iter().map(|p| p.systems).max().filter(|&n| n > arch.cluster.systems.value) {
            return Err(too_few(&workload.shape.name, most, arch));
        }
        let tokens = tokens(workload, training.as_ref(), request);
        match (request.steps, known) {
            (Some(steps), _) => cut(&mut phases, steps, |_| 1),
            (None, Some(_)) if request.tokens_per_parameter.is_none() => {}
            _ => cut(&mut phases, tokens, |p| p.batch * u64::from(workload.seq_len)),
        }
        let steps: u64 = phases.iter().map(|p| p.steps).sum();
        let all = phases.iter().fold(0u64, |sum, p| sum.saturating_add(p.tokens(workload.seq_len)));
        if steps > STEPS_MAX || all == u64::MAX {
            let message = format!("{steps} steps of {all} tokens; at most {STEPS_MAX} steps are possible");
            return Err(Error::Refused(vec![Diagnostic::new("cli-train", "steps", message)]));
        }
        let published = known.is_some_and(|run| {
            let same = |(p, s): (&Phase, &models::presets::Stage)| (p.batch, p.steps) == (s.batch, s.steps);
            phases.len() == run.stages.len() && phases.iter().zip(run.stages).all(same)
        });
        let origin = if published { "as published" } else { "as asked for" }.to_owned();
        Ok(TrainingPlan { phases, training, published, origin })
    }

    /// The learning rate; None if none was published for the model.
    #[must_use]
    pub fn schedule(&self, workload: &Workload) -> Option<Schedule> {
        let tokens = self.phases.iter().map(|p| p.tokens(workload.seq_len)).sum();
        self.training.as_ref().map(|run| Schedule::of(run, workload.seq_len, tokens))
    }
}

fn check(request: &Request) -> Result<(), Error> {
    let mut diagnostics = Vec::new();
    if request.steps == Some(0) {
        diagnostics.push(Diagnostic::new("cli-train", "steps", "is 0; at least 1 is needed"));
    }
    if let Some(n) = request.tokens_per_parameter.filter(|n| !(n.is_finite() && *n > 0.0 && *n <= 1e6)) {
        let message = format!("is {n}; a number above 0, up to 1000000, is needed");
        diagnostics.push(Diagnostic::new("cli-train", "tokens_per_parameter", message));
    }
    if diagnostics.is_empty() { Ok(()) } else { Err(Error::Invalid(diagnostics)) }
}

fn too_few(model: &str, most: u32, arch: &ArchSpec) -> Error {
    let message =
        format!("the published run of {model} used {most} systems; `{}` has {}", arch.name, arch.cluster.systems.value);
    let help = "--arch andromeda16, or --systems N for another number than the published one";
    Error::invalid(Diagnostic::new("cli-train", "arch", message).help(help))
}

/// Tokens that are wanted.
fn tokens(workload: &Workload, training: Option<&Training>, request: &Request) -> u64 {
    let per_parameter = |n: f64| (n * parameters(&workload.shape) as f64).ceil() as u64;
    match (request.tokens_per_parameter, training) {
        (Some(n), _) => per_parameter(n),
        (None, Some(run)) => run.tokens,
        (None, None) => per_parameter(TOKENS_PER_PARAMETER),
    }
}

/// Ends the run when it has `whole`, of which a step of a phase brings `each`; the last phase is as
/// long as it takes.
fn cut(phases: &mut Vec<Phase>, whole: u64, each: impl Fn(&Phase) -> u64) {
    let mut left = whole;
    let last = phases.len() - 1;
    for (i, phase) in phases.iter_mut().enumerate() {
        let needed = left.div_ceil(each(phase).max(1));
        phase.steps = if i == last { needed } else { phase.steps.min(needed) };
        left = left.saturating_sub(phase.steps * each(phase));
    }
    phases.retain(|phase| phase.steps > 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload;
    use sim_core::arch;

    fn plan(model: &str, request: Request) -> Result<TrainingPlan, Error> {
        let workload = Workload::preset_with(model, workload::Request { batch: request.batch, seq_len: None })?;
        TrainingPlan::new(&workload, &arch::preset("andromeda16").unwrap(), &request)
    }

    #[test]
    fn a_published_run_is_followed_to_the_step() {
        let plan = plan("cerebras-gpt-13b", Request::default()).unwrap();
        let phases =
            [Phase { batch: 720, steps: 57_000, systems: 8 }, Phase { batch: 1080, steps: 78_223, systems: 12 }];
        assert!(plan.phases == phases && plan.published);
        assert_eq!(plan.phases.iter().map(|p| p.tokens(2048)).sum::<u64>(), 257_066_680_320);
    }

    #[test]
    fn a_run_is_cut_or_lengthened_as_asked() {
        let of = |request| plan("cerebras-gpt-13b", request).unwrap();
        let steps = |p: &TrainingPlan| p.phases.iter().map(|p| p.steps).collect::<Vec<u64>>();
        assert_eq!(steps(&of(Request { steps: Some(100), ..Request::default() })), [100]);
        assert_eq!(steps(&of(Request { steps: Some(57_001), ..Request::default() })), [57_000, 1]);
        let more = of(Request { tokens_per_parameter: Some(40.0), ..Request::default() });
        assert!(more.phases[1].steps > 78_223 && !more.published);
        // 20 tokens per parameter are the published run but for rounding.
        let same = of(Request { tokens_per_parameter: Some(20.0), ..Request::default() });
        assert!(same.phases[1].steps.abs_diff(78_223) < 3);
        let own = of(Request { batch: Some(1440), ..Request::default() });
        assert_eq!(own.phases, [Phase { batch: 1440, steps: 257_066_680_320u64.div_ceil(1440 * 2048), systems: 16 }]);
        // Of this model no run was published: 20 tokens per parameter.
        let gpt2 = plan("gpt2-small", Request::default()).unwrap();
        assert!(gpt2.phases.len() == 1 && gpt2.schedule(&Workload::preset("gpt2-small").unwrap()).is_none());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let error = |request| plan("cerebras-gpt-111m", request).unwrap_err();
        assert!(matches!(error(Request { steps: Some(0), ..Request::default() }), Error::Invalid(_)));
        assert!(matches!(
            error(Request { tokens_per_parameter: Some(f64::NAN), ..Request::default() }),
            Error::Invalid(_)
        ));
        assert!(matches!(error(Request { steps: Some(u64::MAX), ..Request::default() }), Error::Refused(_)));
        let workload = Workload::preset("cerebras-gpt-6.7b").unwrap();
        let diagnostic = TrainingPlan::new(&workload, &arch::preset("cs2").unwrap(), &Request::default()).unwrap_err();
        assert!(diagnostic.diagnostics()[0].message.contains("used 16 systems; `cs2` has 1"), "{diagnostic:?}");
    }
}
