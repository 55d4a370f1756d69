//! The tools that the checks need beyond Rust and git: how to see whether one is there, and how to
//! get it.
//!
//! Versions are fixed, so that a new release of a tool does not fail an old commit. What can be
//! installed into a directory goes to `target/tools`, which belongs to this checkout alone and is
//! searched before the system's own programs.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use crate::paths::root;

/// The linter of protobuf schemas.
pub(crate) const BUF: Tool = Tool {
    name: "buf",
    probe: &["buf", "--version"],
    install: &[&[
        "npm",
        "install",
        "--prefix",
        "target/tools",
        "--no-fund",
        "--no-audit",
        "@bufbuild/buf@1.75.0",
    ]],
};

/// The linter of dependencies. The debug build takes a third of the time and is fast enough.
pub(crate) const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    probe: &["cargo", "deny", "--version"],
    install: &[&[
        "env",
        "CARGO_PROFILE_DEV_DEBUG=false",
        "cargo",
        "install",
        "--locked",
        "--debug",
        "--root",
        "target/tools",
        "cargo-deny@0.20.2",
    ]],
};

/// Changes code, to see whether a test fails. Another version makes other changes, so only this one
/// will do.
pub(crate) const CARGO_MUTANTS: Tool = Tool {
    name: "cargo-mutants",
    probe: &[
        "sh",
        "-c",
        "cargo mutants --version | grep -Fx 'cargo-mutants 27.1.0'",
    ],
    install: &[&[
        "env",
        "CARGO_PROFILE_DEV_DEBUG=false",
        "cargo",
        "install",
        "--locked",
        "--debug",
        "--root",
        "target/tools",
        "cargo-mutants@27.1.0",
    ]],
};

/// gRPC for Python.
pub(crate) const GRPCIO: Tool = Tool {
    name: "grpcio-tools",
    probe: &["python3", "-c", "import grpc_tools"],
    install: &[
        &["python3", "-m", "venv", "target/tools/python"],
        &[
            "target/tools/python/bin/python3",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--requirement",
            "proto/examples/python/requirements.txt",
        ],
    ],
};

/// The solver of the proofs. Of the versions tried, 4.8.12 to 4.15.8 answer all questions; 5.4.1 gives
/// one up.
pub(crate) const Z3: Tool = Tool {
    name: "z3",
    probe: &["z3", "--version"],
    install: &[
        &["python3", "-m", "venv", "target/tools/python"],
        &[
            "target/tools/python/bin/python3",
            "-m",
            "pip",
            "install",
            "--quiet",
            "z3-solver==4.15.8.0",
        ],
    ],
};

/// Where installed tools are found, relative to the root.
const DIRECTORIES: &[&str] = &[
    "target/tools/bin",
    "target/tools/node_modules/.bin",
    "target/tools/python/bin",
];

/// A program that a check needs.
pub(crate) struct Tool {
    name: &'static str,
    /// Succeeds where the tool is there.
    probe: &'static [&'static str],
    /// These commands get it, run one after the other at the root.
    install: &'static [&'static [&'static str]],
}

/// Why a tool is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    /// It is not installed.
    #[error("{name} is missing; `cargo xtask ci` without --no-install gets it, with: {install}")]
    Missing {
        /// The tool.
        name: &'static str,
        /// The commands that install it.
        install: String,
    },
    /// It could not be installed.
    #[error("cannot install {name}: `{command}` {problem}")]
    Install {
        /// The tool.
        name: &'static str,
        /// The command that failed.
        command: String,
        /// How it failed.
        problem: String,
    },
}

impl Tool {
    /// Fails where the tool is not there.
    pub(crate) fn check(&self) -> Result<(), ToolError> {
        let status = Command::new(self.probe[0])
            .args(&self.probe[1..])
            .current_dir(root())
            .env("PATH", search_path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if status.is_ok_and(|status| status.success()) {
            return Ok(());
        }
        let install: Vec<_> = self.install.iter().map(|words| words.join(" ")).collect();
        Err(ToolError::Missing {
            name: self.name,
            install: install.join(" && "),
        })
    }

    /// Gets the tool.
    fn install(&self) -> Result<(), ToolError> {
        for words in self.install {
            println!("=== installing {}: {}", self.name, words.join(" "));
            // Not with our search path: an environment of Python must not be made by itself.
            let status = Command::new(words[0])
                .args(&words[1..])
                .current_dir(root())
                .status();
            let problem = match status {
                Ok(status) if status.success() => continue,
                Ok(status) => format!("ended with {status}"),
                Err(error) => format!("cannot be started: {error}"),
            };
            return Err(ToolError::Install {
                name: self.name,
                command: words.join(" "),
                problem,
            });
        }
        self.check()
    }
}

/// Installs those of the tools that are not found.
pub(crate) fn install_missing<'a>(
    tools: impl IntoIterator<Item = &'a Tool>,
) -> Result<(), ToolError> {
    for tool in tools {
        if tool.check().is_err() {
            tool.install()?;
        }
    }
    Ok(())
}

/// The search path with our directories first.
pub(crate) fn search_path() -> OsString {
    let ours = DIRECTORIES.iter().map(|directory| root().join(directory));
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let all: Vec<_> = ours.chain(std::env::split_paths(&inherited)).collect();
    // A directory whose name holds the separator cannot be searched by anyone.
    std::env::join_paths(all).unwrap_or(inherited)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: Tool = Tool {
        name: "nowhere",
        probe: &["tally-tool-that-is-nowhere"],
        install: &[&["sh", "-c", "exit 3"]],
    };

    #[test]
    fn a_missing_tool_is_an_error_that_names_the_command_that_gets_it() {
        let error = NOWHERE.check().expect_err("there is no such program");
        assert!(error.to_string().contains("sh -c exit 3"), "{error}");
    }

    #[test]
    fn a_failed_installation_is_an_error() {
        let error = NOWHERE.install().expect_err("the command fails");
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }
}
