//! From what wasmtime says to how an attempt ended: the plan's table.

use std::fmt;

use wasmbatch_executor::OUT_OF_MEMORY;
use wasmtime::{Error, Trap};
use wasmtime_wasi::I32Exit;

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GuestEnding {
    Exited { exit_code: u8, reason: Option<String> },
    Failed { exit_code: u8, reason: String },
}

/// A module called `proc_exit`.
#[derive(Debug)]
pub(crate) struct ProcExit(pub(crate) i32);

impl fmt::Display for ProcExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit {}", self.0)
    }
}

impl std::error::Error for ProcExit {}

const TRAP_CODE: u8 = 134;
const OUT_OF_MEMORY_CODE: u8 = 137;

/// Reads the result of a guest's start function. `refused_memory`: it was refused memory before;
/// `fuel_used`: all of it, if it ran out.
pub(crate) fn ending(result: Result<(), Error>, refused_memory: bool, fuel_used: u64) -> GuestEnding {
    let Err(error) = result else { return exited(0) };
    if error.downcast_ref() == Some(&Trap::OutOfFuel) {
        let reason = format!("FuelExhausted: {fuel_used} of {fuel_used}");
        return GuestEnding::Failed { exit_code: TRAP_CODE, reason };
    }
    let own_code =
        error.downcast_ref().map(|ProcExit(code)| *code).or_else(|| error.downcast_ref().map(|I32Exit(code)| *code));
    // Languages say "out of memory" in their own ways: a trap, or an exit code of the runtime's.
    if (refused_memory && own_code != Some(0)) || is_no_memory(&error) {
        return GuestEnding::Failed { exit_code: OUT_OF_MEMORY_CODE, reason: OUT_OF_MEMORY.to_owned() };
    }
    if let Some(code) = own_code {
        return exited(code);
    }
    let text = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    let text = text.strip_prefix("wasm trap: ").unwrap_or(&text);
    GuestEnding::Failed { exit_code: TRAP_CODE, reason: format!("WasmTrap: {text}") }
}

/// Whether the kernel refused the memory of an instance, before or in place of our own limits. The error
/// is of a crate that we don't name, and its text has the number.
fn is_no_memory(error: &Error) -> bool {
    error.root_cause().to_string().ends_with("(os error 12)")
}

fn exited(code: i32) -> GuestEnding {
    match u8::try_from(code) {
        Ok(exit_code) => GuestEnding::Exited { exit_code, reason: None },
        Err(_) => {
            // A minus sign is not among the characters that patterns can match.
            let sign = if code < 0 { "minus " } else { "" };
            let reason = format!("ExitStatus: {sign}{}", code.unsigned_abs());
            GuestEnding::Exited { exit_code: 255, reason: Some(reason) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_kept_where_they_fit() {
        for code in [0, 1, 125, 126, 255] {
            let expected = GuestEnding::Exited { exit_code: u8::try_from(code).unwrap(), reason: None };
            assert_eq!(ending(Err(ProcExit(code).into()), false, 0), expected);
        }
        for (code, text) in
            [(256, "ExitStatus: 256"), (-1, "ExitStatus: minus 1"), (i32::MIN, "ExitStatus: minus 2147483648")]
        {
            let expected = GuestEnding::Exited { exit_code: 255, reason: Some(text.to_owned()) };
            assert_eq!(ending(Err(ProcExit(code).into()), false, 0), expected);
        }
    }

    #[test]
    fn a_failure_after_a_refusal_is_out_of_memory() {
        let exit = |code: i32| ending(Err(ProcExit(code).into()), true, 0);
        assert!(matches!(exit(2), GuestEnding::Failed { exit_code: 137, .. }));
        assert_eq!(exit(0), GuestEnding::Exited { exit_code: 0, reason: None });
        let trap = || Err(Trap::UnreachableCodeReached.into());
        assert!(matches!(ending(trap(), true, 0), GuestEnding::Failed { exit_code: 137, .. }));
        let GuestEnding::Failed { exit_code: 134, reason } = ending(trap(), false, 0) else { panic!() };
        assert!(reason.starts_with("WasmTrap: wasm `unreachable`"), "{reason}");
        let out_of_fuel = ending(Err(Trap::OutOfFuel.into()), true, 70);
        let reason = "FuelExhausted: 70 of 70".to_owned();
        assert_eq!(out_of_fuel, GuestEnding::Failed { exit_code: 134, reason });
    }
}
