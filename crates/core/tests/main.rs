//! The core's tests from outside: properties of each machine, and a simulation of all of them.

#[cfg(test)]
mod properties;
#[cfg(test)]
mod simulation;
