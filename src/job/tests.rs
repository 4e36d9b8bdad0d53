//! Tests of the engine as a job uses it.

mod simulation;
