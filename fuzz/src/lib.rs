//! The command interpreter.
