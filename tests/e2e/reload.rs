//! A change of configuration under load loses no request, and a bad one changes nothing.
