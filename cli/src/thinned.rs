//! A list of looks that never grows beyond a length: if there are more, every second one is dropped, and of those to come
//! as many, so that what is kept is evenly apart.

/// Such a list.
pub struct Thinned<T> {
    /// What is kept, in order.
    pub kept: Vec<T>,
    /// How many there were.
    pub count: usize,
    most: usize,
    /// One in so many is kept.
    every: usize,
}

impl<T> Thinned<T> {
    /// An empty one that keeps so many at the most.
    pub fn new(most: usize) -> Self {
        Self {
            kept: Vec::new(),
            count: 0,
            most,
            every: 1,
        }
    }

    /// Adds the next.
    pub fn push(&mut self, next: T) {
        if self.count.is_multiple_of(self.every) {
            self.kept.push(next);
        }
        self.count += 1;
        if self.kept.len() > self.most {
            let mut index = 0;
            self.kept.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.every *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_evenly_apart() {
        let mut list = Thinned::new(600);
        (0..1800).for_each(|n| list.push(n));
        assert!((300..=600).contains(&list.kept.len()));
        assert!(list.kept.windows(2).all(|pair| pair[1] - pair[0] == 4));
        assert_eq!((list.kept[0], list.count), (0, 1800));
    }
}
