"""`ior-nb serve`: collectors for users who have no rights themselves: each sees what is his (`docs/service.md`).

Standard library alone, as the collector: `service` takes connections and has a collector for each (`client`), `peer`
says who it is, `gate` what he may ask for, `confine` gives up what is not needed, `audit` writes down who did what.
"""
