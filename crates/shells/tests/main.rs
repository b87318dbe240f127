//! Tests of the simulation: seeds, planted bugs, and repeated seeds.

#[cfg(test)]
mod planted;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod seeds;
