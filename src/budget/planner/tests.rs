//! The planner against a simulated account: it is never silent, and never greedy.

mod account;
mod cases;
mod checks;
mod hasten;
mod properties;
mod simulation;
