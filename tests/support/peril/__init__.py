"""Tools of the fault suite: a proxy that does harm, operators as processes, and a witness that nothing deceives."""
