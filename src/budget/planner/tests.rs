//! Tests of the planner with a simulated account: it is never silent and never spends too much.

mod account;
mod cases;
mod checks;
mod hasten;
mod properties;
mod retries;
mod simulation;
