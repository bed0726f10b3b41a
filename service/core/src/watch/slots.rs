//! A vector with holes: values keep their position until removed, and positions are reused.

/// A vector with holes.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    /// Inserts a value and returns its position.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(position) = self.free.pop() {
            self.slots[position as usize] = Some(value);
            return position;
        }
        let position = u32::try_from(self.slots.len()).expect("memory ends before positions do");
        self.slots.push(Some(value));
        position
    }

    /// Removes and returns a value. The position must be in use.
    pub(crate) fn remove(&mut self, position: u32) -> T {
        let value = self.slots[position as usize]
            .take()
            .expect("only positions in use are freed");
        self.free.push(position);
        value
    }

    /// Returns the value at a position, if it is in use.
    pub(crate) fn get(&self, position: u32) -> Option<&T> {
        self.slots.get(position as usize)?.as_ref()
    }

    /// Returns the value at a position for changing, if it is in use.
    pub(crate) fn get_mut(&mut self, position: u32) -> Option<&mut T> {
        self.slots.get_mut(position as usize)?.as_mut()
    }

    /// Returns one more than the highest position ever used.
    pub(crate) fn span(&self) -> usize {
        self.slots.len()
    }

    /// Returns the number of values.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Returns the values with their positions, in order of position.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0_u32..)
            .zip(&self.slots)
            .filter_map(|(at, slot)| Some((at, slot.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_stay_and_are_used_again() {
        let mut slots = Slots::default();
        let (a, b) = (slots.insert('a'), slots.insert('b'));
        assert_eq!(slots.remove(a), 'a');
        assert_eq!(
            (slots.get(a), slots.get(b), slots.len()),
            (None, Some(&'b'), 1)
        );
        assert_eq!(slots.insert('c'), a);
        assert_eq!(slots.iter().map(|(_, v)| *v).collect::<String>(), "cb");
        assert_eq!(slots.span(), 2);
    }
}
