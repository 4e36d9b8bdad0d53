//! The choice of an engine, and what happens when one gives way.

mod chain;
mod choice;
