mod support;

mod shipped;
