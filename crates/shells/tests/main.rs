//! The simulation of the shells: seeds, planted bugs, and that a seed plays the same every time.

#[cfg(test)]
mod planted;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod seeds;
