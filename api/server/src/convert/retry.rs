//! retryStrategy and timeout.

use wasmbatch_core::job::RetryStrategy;
use wasmbatch_core::job::retry::{ExitAction, ExitRule};
use wasmbatch_core::limits;
use wasmbatch_core::name::shortened;
use wasmbatch_model::definition as wire;

use super::{signed, unsigned};
use crate::error::ApiError;

/// A retryStrategy, where there is one.
pub(crate) fn to_retry(strategy: Option<wire::RetryStrategy>) -> Result<Option<RetryStrategy>, ApiError> {
    let Some(wire::RetryStrategy { attempts, evaluate_on_exit }) = strategy else {
        return Ok(None);
    };
    let attempts = attempts.ok_or_else(|| ApiError::executing("RetryAttempts must be provided with retry strategy"))?;
    let attempts = u32::try_from(attempts).ok().filter(|attempts| limits::RETRY_ATTEMPTS.contains(attempts));
    let attempts = attempts.ok_or_else(|| {
        let bounds = limits::RETRY_ATTEMPTS;
        ApiError::executing(format!("retryStrategy.attempts must be between {} and {}", bounds.start(), bounds.end()))
    })?;
    let rules = evaluate_on_exit.unwrap_or_default();
    if rules.len() > limits::EXIT_RULES {
        let most = limits::EXIT_RULES;
        return Err(ApiError::client(format!("retryStrategy.evaluateOnExit can have at most {most} entries")));
    }
    let rules = rules.into_iter().map(to_rule).collect::<Result<_, _>>()?;
    Ok(Some(RetryStrategy { attempts, rules }))
}

fn to_rule(rule: wire::EvaluateOnExit) -> Result<ExitRule, ApiError> {
    let wire::EvaluateOnExit { on_status_reason, on_reason, on_exit_code, action } = rule;
    let action = action.unwrap_or_default();
    let action = match action.to_ascii_lowercase().as_str() {
        "retry" => ExitAction::Retry,
        "exit" => ExitAction::Exit,
        _ => {
            let action = shortened(&action);
            let message = format!("retryStrategy.evaluateOnExit.action {action} must be one of RETRY | EXIT");
            return Err(ApiError::client(message));
        }
    };
    Ok(ExitRule {
        on_reason: pattern(on_reason, "onReason", is_reason_char)?,
        on_status_reason: pattern(on_status_reason, "onStatusReason", is_reason_char)?,
        on_exit_code: pattern(on_exit_code, "onExitCode", |c| c.is_ascii_digit())?,
        action,
    })
}

/// Letters, digits, periods, colons and white space `[API]` EvaluateOnExit.
fn is_reason_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | ':') || c.is_ascii_whitespace()
}

fn pattern(text: Option<String>, member: &str, allowed: impl Fn(char) -> bool) -> Result<Option<String>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let stem = text.strip_suffix('*').unwrap_or(&text);
    let fits = (1..=limits::EXIT_PATTERN_CHARS).contains(&text.len()) && stem.chars().all(allowed);
    if fits {
        Ok(Some(text))
    } else {
        let message = format!("retryStrategy.evaluateOnExit.{member} {} is not a valid pattern", shortened(&text));
        Err(ApiError::client(message))
    }
}

/// As answered: the action in lower case, as AWS answers it.
pub(crate) fn from_retry(strategy: &RetryStrategy) -> wire::RetryStrategy {
    let RetryStrategy { attempts, rules } = strategy;
    let rule = |rule: &ExitRule| {
        let ExitRule { on_reason, on_status_reason, on_exit_code, action } = rule.clone();
        let action = match action {
            ExitAction::Retry => "retry",
            ExitAction::Exit => "exit",
        };
        wire::EvaluateOnExit { on_status_reason, on_reason, on_exit_code, action: Some(action.to_owned()) }
    };
    wire::RetryStrategy { attempts: Some(signed(*attempts)), evaluate_on_exit: Some(rules.iter().map(rule).collect()) }
}

/// attemptDurationSeconds, where it is given.
pub(crate) fn to_timeout(timeout: Option<wire::JobTimeout>) -> Result<Option<u32>, ApiError> {
    let Some(wire::JobTimeout { attempt_duration_seconds: Some(seconds) }) = timeout else {
        return Ok(None);
    };
    let seconds = unsigned(seconds, "timeout.attemptDurationSeconds")?;
    if seconds < limits::MIN_TIMEOUT_SECONDS {
        let least = limits::MIN_TIMEOUT_SECONDS;
        return Err(ApiError::client(format!("timeout.attemptDurationSeconds must be at least {least}")));
    }
    Ok(Some(seconds))
}

pub(crate) fn from_timeout(seconds: u32) -> wire::JobTimeout {
    wire::JobTimeout { attempt_duration_seconds: Some(signed(seconds)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn retry(value: serde_json::Value) -> Result<Option<RetryStrategy>, String> {
        to_retry(serde_json::from_value(value).unwrap()).map_err(|error| error.message)
    }

    #[test]
    fn attempts_are_wanted_and_bounded() {
        assert_eq!(retry(json!({})), Err("RetryAttempts must be provided with retry strategy".to_owned()));
        let bounds = Err("retryStrategy.attempts must be between 1 and 10".to_owned());
        for attempts in [0, 11, -1] {
            assert_eq!(retry(json!({"attempts": attempts})), bounds);
        }
        assert_eq!(retry(json!({"attempts": 10})).unwrap().unwrap().attempts, 10);
    }

    #[test]
    fn the_usual_rules_are_taken_and_answered_in_lower_case() {
        let given = json!({"attempts": 3, "evaluateOnExit": [
            {"onStatusReason": "Host EC2*", "action": "RETRY"},
            {"onReason": "*", "action": "Exit"},
            {"onExitCode": "13*", "action": "exit"},
        ]});
        let strategy = retry(given).unwrap().unwrap();
        assert_eq!(
            serde_json::to_value(from_retry(&strategy)).unwrap(),
            json!({"attempts": 3, "evaluateOnExit": [
                {"onStatusReason": "Host EC2*", "action": "retry"},
                {"onReason": "*", "action": "exit"},
                {"onExitCode": "13*", "action": "exit"},
            ]})
        );
    }

    #[test]
    fn patterns_have_their_characters() {
        for rule in [
            json!({"onExitCode": "1a", "action": "exit"}),
            json!({"onExitCode": "", "action": "exit"}),
            json!({"onReason": "a*b", "action": "exit"}),
            json!({"onReason": "(x)", "action": "exit"}),
            json!({"onReason": "x".repeat(513), "action": "exit"}),
            json!({"onReason": "x", "action": "stop"}),
        ] {
            assert!(retry(json!({"attempts": 1, "evaluateOnExit": [rule.clone()]})).is_err(), "{rule}");
        }
        let rule = json!({"onReason": "x", "action": "exit"});
        assert!(retry(json!({"attempts": 1, "evaluateOnExit": vec![rule; 6]})).is_err());
    }
}
