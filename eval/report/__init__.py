"""One self-contained HTML file that shows runs, so that one can look and listen. It fetches nothing and runs no stage."""
