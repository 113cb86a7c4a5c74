"""How the user's tests run and what they leave behind: the user's environment, and JUnit files."""
