//! The body of `POST /notifications`: whatever it is, the answer is yes or a 400.

use conductor::{api, clock::Clock};

/// One input: the body. Whether it is a notification.
pub fn run(body: &[u8]) -> bool {
    match api::check_body(body, Clock::system().now()) {
        Ok(()) => true,
        Err(problem) => {
            assert_eq!(problem.status(), 400, "{problem:?}");
            false
        }
    }
}
