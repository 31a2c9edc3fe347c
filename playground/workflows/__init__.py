"""The vocabulary of durable workflows: pure values, no I/O, nothing imported from the other rooms."""
