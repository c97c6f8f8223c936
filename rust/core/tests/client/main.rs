//! One client's connection: the same requests however their bytes come, and when it is read, handed over and left.

#![allow(unreachable_pub)]

mod owner;

mod ends;
mod flow;
mod requests;
