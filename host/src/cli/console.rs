//! What the program says to a person, apart from its log: answers on standard output, complaints on
//! standard error.

use std::io::{self, IsTerminal as _, Write as _};

/// Prints a line that was asked for.
pub(super) fn out(line: &str) {
    // A closed pipe (`conductor check | head`) is the reader's choice.
    let _closed_pipe = writeln!(io::stdout().lock(), "{line}");
}

/// Prints a complaint.
pub(super) fn complain(line: &str) {
    // There is nowhere left to report that nothing can be reported.
    let _closed_pipe = writeln!(io::stderr().lock(), "{line}");
}

/// Whether a person sees what is written to standard error, and wants colours.
pub(super) fn is_coloured() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
