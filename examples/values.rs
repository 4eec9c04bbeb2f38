//! From a preset to the loss and the gradients of its step: the model `tiny`, with real numbers, on 8 × 8 PEs.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use runner::{Executor, Extras, Job, Workload, machine};

fn main() -> Result<(), runner::Error> {
    let job = Job::new(Workload::preset("tiny")?).machine(machine::preset("teaching")?);
    let done = job.run(&Executor::default(), Extras { values: Some(1), ..Extras::default() })?;
    let values = done.values.expect("values were asked for").compared;
    println!("loss {:.4}, in f64 {:.4}", values.loss, values.loss_f64);
    for gradient in &values.tensors {
        println!("{:26} norm {:.4}, largest error {:.4}", gradient.name, gradient.norm, gradient.max_error);
    }
    Ok(())
}
