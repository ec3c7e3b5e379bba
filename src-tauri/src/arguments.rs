//! What Cordée was started with.

use std::process::ExitCode;

/// The ways to start the program.
#[derive(Debug, PartialEq, Eq)]
pub enum Arguments {
    /// `cordee [LINK]`: open the window, perhaps at a `cordee:` link.
    Window { link: Option<String> },
    /// `cordee lint FILE-OR-DOMAIN`: tell an administrator what is wrong with a document.
    Lint { source: String },
    /// `cordee --version`.
    Version,
}

impl Arguments {
    /// Anything that is not understood opens the window: a person who clicks an icon must get it.
    pub fn parse(arguments: &[String]) -> Self {
        match arguments {
            [command, source] if command == "lint" => Self::Lint {
                source: source.clone(),
            },
            [flag] if flag == "--version" || flag == "-V" => Self::Version,
            _ => Self::Window {
                link: arguments
                    .iter()
                    .find(|text| text.starts_with("cordee:"))
                    .cloned(),
            },
        }
    }
}

/// Checks an organisation's document; prints findings, exit code 1 if one is an error.
pub fn lint(source: &str) -> ExitCode {
    network::install_crypto_provider();
    ExitCode::from(organisation::lint::run(source, &mut std::io::stdout()))
}

/// Prints the version and the commit it was built from.
#[allow(clippy::print_stdout)]
pub fn version() -> ExitCode {
    println!(
        "cordee {} ({})",
        env!("CARGO_PKG_VERSION"),
        env!("CORDEE_COMMIT")
    );
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_among_unknown_arguments_is_found() {
        let arguments = ["--from-menu".to_owned(), "cordee:chat?room=!a:b".to_owned()];
        assert_eq!(
            Arguments::parse(&arguments),
            Arguments::Window {
                link: Some("cordee:chat?room=!a:b".to_owned())
            }
        );
        assert_eq!(Arguments::parse(&[]), Arguments::Window { link: None });
    }
}
