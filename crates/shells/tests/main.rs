//! The simulation of the shells: seeds, planted bugs, and that a seed plays the same every time.

mod planted;
mod replay;
mod seeds;
