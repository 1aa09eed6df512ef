"""Reading what a person uploads: told by content, understood over all its rows, refused by line, column and rule."""
