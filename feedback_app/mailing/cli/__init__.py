"""`undisclosed mail` and `undisclosed bounces`. Each command calls one service and prints its result."""
