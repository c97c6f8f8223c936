//! A part of the segment, as the holder of the lock has it.

use std::ops::{Deref, DerefMut};

use crate::kill_points;

/// A mutable reference whose mutable accesses are kill points.
pub(crate) struct Part<'a, T: ?Sized>(pub(crate) &'a mut T);

impl<T: ?Sized> Deref for Part<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.0
    }
}

impl<T: ?Sized> DerefMut for Part<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        kill_points::point();
        self.0
    }
}
