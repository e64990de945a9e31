//! `Retry-After` and `Date` as providers write them: no text makes the wait shorter than it says.

use std::time::Duration;

use conductor_sdk::http::Response;

/// One input, in lines: `Retry-After`, `Date`, the status. Whether it says how long to wait.
pub fn run(input: &[u8]) -> bool {
    let input = String::from_utf8_lossy(input);
    let mut lines = input.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (retry_after, date, status) = (line(), line(), line().parse().unwrap_or(429));
    let response = Response {
        status,
        headers: vec![
            (String::from("retry-after"), retry_after.to_owned()),
            (String::from("date"), date.to_owned()),
        ],
        body: Vec::new(),
    };
    let wait = response.retry_after();
    if let Ok(seconds) = retry_after.trim().parse::<u64>() {
        assert_eq!(wait, Some(Duration::from_secs(seconds)));
    } else if let Ok(seconds) = retry_after.trim().parse::<f64>()
        && seconds.is_finite()
        && seconds >= 0.0
    {
        let asked = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        assert!(wait.is_some_and(|wait| wait >= asked), "{retry_after}: {wait:?}");
    }
    // An error of whatever status, with whatever wait, is an outcome.
    let _outcome = response.error_for_status();
    wait.is_some()
}
