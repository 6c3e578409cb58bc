"""`undisclosed mail` and `undisclosed bounces`. Each command calls one service and prints what it did."""
