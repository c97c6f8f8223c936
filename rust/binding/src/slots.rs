//! Things in numbered places, with keys that go stale when what they name is gone.

/// Names a thing; one kept too long names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) slot: u32,
    generation: u32,
}

impl From<Key> for u64 {
    fn from(key: Key) -> u64 {
        u64::from(key.generation) << 32 | u64::from(key.slot)
    }
}

impl From<u64> for Key {
    fn from(number: u64) -> Key {
        Key { slot: number as u32, generation: (number >> 32) as u32 }
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    thing: Option<T>,
}

#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, thing: None });
            self.slots.len() as u32 - 1
        });
        let entry = &mut self.slots[slot as usize];
        let key = Key { slot, generation: entry.generation };
        entry.thing = Some(make(key));
        key
    }

    pub(crate) fn get(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.slots.get_mut(key.slot as usize)?;
        if entry.generation == key.generation { entry.thing.as_mut() } else { None }
    }

    /// What is in a slot, whatever it is.
    pub(crate) fn in_slot(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.thing.as_mut()
    }

    /// Takes a thing out for a moment, so that others can be looked at beside it.
    pub(crate) fn take(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        self.slots[key.slot as usize].thing.take()
    }

    pub(crate) fn put_back(&mut self, key: Key, thing: T) {
        self.slots[key.slot as usize].thing = Some(thing);
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let entry = &mut self.slots[key.slot as usize];
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(key.slot);
        entry.thing.take()
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        let taken = self.slots.iter().enumerate().filter(|(_, slot)| slot.thing.is_some());
        taken.map(|(at, slot)| Key { slot: at as u32, generation: slot.generation }).collect()
    }
}
